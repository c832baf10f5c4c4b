// Package crash holds the named places at which a crash test may end the
// process: before and after everything that, cut in two, could lose or double
// something. In production nothing is armed, and a point costs one comparison
// with nil.
//
// A point is named after its room and what is about to happen, or has just
// happened: "settle.outbox.before". Each name stands in the source once, and a
// test pins that.
package crash

// armed is called at every point; nil outside of a crash test's child process.
var armed func(point string)

// Arm makes f be called at every point that is passed from now on, in the
// goroutine that passes it; f may end the process. It must be called before
// anything that passes points is started, and only in a process that a crash
// test made for itself.
func Arm(f func(point string)) { armed = f }

// Point passes a named place.
func Point(name string) {
	if armed != nil {
		armed(name)
	}
}
