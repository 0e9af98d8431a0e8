package sim

// Shrink looks for a part of the operations that still breaks the same invariant, and returns the indices that are left. It
// plays at most so many histories.
func Shrink(seed uint64, ops []Operation, invariant string, plays int) []int {
	return shrink(len(ops), plays, func(part []int) bool {
		r := Play(seed, Choose(ops, part), false)
		return r.Failure != nil && r.Failure.Invariant == invariant
	})
}

// shrink leaves out halves, quarters and so on down to single items of n, whatever breaks reports as breaking all the same.
func shrink(n, tries int, breaks func(part []int) bool) []int {
	left := make([]int, n)
	for i := range left {
		left[i] = i
	}
	for size := max(n/2, 1); size > 0 && tries > 0; {
		helped := false
		for from := 0; from < len(left) && tries > 0; tries-- {
			part := append(append([]int(nil), left[:from]...), left[min(from+size, len(left)):]...)
			if breaks(part) {
				left, helped = part, true
			} else {
				from += size
			}
		}
		if !helped || size > 1 {
			size /= 2
		}
	}
	return left
}

// Choose gives the operations at the indices.
func Choose(ops []Operation, indices []int) []Operation {
	list := make([]Operation, 0, len(indices))
	for _, i := range indices {
		if i < len(ops) {
			list = append(list, ops[i])
		}
	}
	return list
}
