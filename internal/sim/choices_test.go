package sim

import (
	"math/rand/v2"
	"strings"
	"unicode"
)

// A tape is the choices of one history. What it does not hold yet is drawn from
// its seed; zero is always the choice in which nothing goes wrong.
type tape struct {
	seed    uint64
	rng     *rand.Rand
	choices []int
	next    int
	fixed   bool // beyond the end there are zeros
}

func newTape(seed uint64) *tape {
	return &tape{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x51))}
}

// choose returns a number in [0, n).
func (t *tape) choose(n int) int {
	if t.next == len(t.choices) {
		c := 0
		if !t.fixed {
			c = t.rng.IntN(n)
		}
		t.choices = append(t.choices, c)
	}
	c := t.choices[t.next] % n
	t.next++
	return c
}

// chance is true once in n, and false where nothing goes wrong.
func (t *tape) chance(n int) bool { return t.choose(n) == n-1 }

// shrink looks for a shorter and calmer tape that fails too: it sets ever
// smaller stretches to zero.
func shrink(failing []int, fails func(*tape) bool) []int {
	best := append([]int(nil), failing...)
	for size := (len(best) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len(best); at += size {
			trial := append([]int(nil), best...)
			changed := false
			for i := at; i < min(at+size, len(trial)); i++ {
				changed = changed || trial[i] != 0
				trial[i] = 0
			}
			if t := (&tape{choices: trial, fixed: true}); changed && fails(t) {
				best = trial
			}
		}
	}
	for len(best) > 0 && best[len(best)-1] == 0 {
		best = best[:len(best)-1]
	}
	return best
}

// gist is what was violated, without the numbers in it: a history is not cut down
// to another failure than its own.
func gist(broken string) string {
	line, _, _ := strings.Cut(broken, "\n")
	line = strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, line)
	return line[:min(len(line), 24)]
}

// wrongs counts the choices of a tape that are not zero.
func wrongs(choices []int) (n int) {
	for _, c := range choices {
		if c != 0 {
			n++
		}
	}
	return n
}
