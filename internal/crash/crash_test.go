package crash

import (
	"slices"
	"testing"
)

func TestPointsAreSilentUnlessArmed(t *testing.T) {
	Point("nobody.listens")
	var passed []string
	Arm(func(point string) { passed = append(passed, point) })
	Point("one")
	Point("two")
	Arm(nil)
	Point("three")
	if !slices.Equal(passed, []string{"one", "two"}) {
		t.Errorf("an armed process passed %v, want one and two", passed)
	}
}

func TestAPointCostsNoAllocation(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Point("accept.before") }); n != 0 {
		t.Errorf("a point that is not armed allocates %v times", n)
	}
}

func BenchmarkPoint(b *testing.B) {
	for b.Loop() {
		Point("accept.before")
	}
}
