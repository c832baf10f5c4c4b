// Package live tests the store on real Cassandra nodes, through both clients:
// one node, one with TLS and passwords, and a ring of three of which one dies.
package live
