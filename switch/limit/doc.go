// Package limit says no to whoever asks too often or holds too many connections. It knows senders by a number, made of an address
// or a proven identity under a key that changes with every start, so that nobody can choose who shares a place with him.
//
// It does not answer, count or close anything, and it is fair to nobody: a limit is a fence against a sender gone wild, far above
// what an honest one needs. What a switch that is busy turns away is decided elsewhere (switch/server).
//
// # Bounds
//
// Everything has a fixed size: ten million addresses take no more memory than ten.
//
//   - A Bucket is one number, the instant at which it is full again. Once that has passed the bucket is as good as a new one, so its
//     place is free for anybody, and nothing is lost by forgetting it.
//   - A sender has eight places where his bucket may be. When all are taken by others who have asked of late, he shares one bucket
//     with everybody else who finds no place there: with too many strangers strangers are held up, those who have a place are not.
//   - Holders counts open connections, so it has no more entries than there are.
package limit
