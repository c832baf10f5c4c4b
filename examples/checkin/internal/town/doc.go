// Package town is what a check-in game is played with: people, their friends,
// venues, and check-ins in the order in which they arrive. A town is read from
// files ([Load]) or made up from a fixed seed ([Generate]).
package town
