package journal

import "context"

// stream is where the batches lie: the segments of the journal's folder, or an external cluster.
type stream interface {
	// append makes raw durable as the batch at position, which follows the last one. Any error is final.
	append(ctx context.Context, raw []byte, position uint64) error
	// maxBatch is the largest packed batch that append takes.
	maxBatch() int
	// scan hands fn every batch from one acknowledged position to another, in order and without a gap; raw is fn's only
	// until it returns.
	scan(ctx context.Context, from, to uint64, fn func(raw []byte) error) error
	// cursor opens a reader; role names it in logs.
	cursor(role string) (cursor, error)
	close() error
}

// cursor gives batches by position. It is used by one goroutine.
type cursor interface {
	// next returns the batch at position, valid until the next call. acked is the last batch known to be acknowledged: up
	// to there nil is never the answer; above it nil means that there is nothing yet.
	next(ctx context.Context, position, acked uint64) ([]byte, error)
	// midway says that next must be called for the following position, whether or not the batch is at hand elsewhere.
	midway() bool
	close()
}
