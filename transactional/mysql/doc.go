// Package mysql is the transactional database on a server: MySQL 8.0.17 or
// newer, MariaDB 10.6 or newer, and servers that speak their protocol.
//
//	store, err := transactional.Open(ctx, mysql.Open("mysql://app@db.example.org/app?password-env=DB_PASSWORD", nil), nil)
//
// A service that has a *sql.DB of github.com/go-sql-driver/mysql hands it over
// with [FromDB], and may then run units inside its own *sql.Tx by
// transactional.Store.Join.
//
// # URLs
//
// mysql://USER@HOST:PORT/DATABASE, with these options as a query; a PASSWORD
// may follow the USER, but one in a file or in the environment is seen by fewer:
//
//	password-env=NAME    the password is in an environment variable
//	password-file=PATH   the password is in a file, read at each connection
//	socket=PATH          connect by a Unix socket instead of HOST:PORT
//	tls=true             TLS also on the loopback interface
//	ca=PATH              certificates that the server's must be signed by
//	plaintext=true       no TLS, although the server is on another machine
//	durability=written   accept innodb_flush_log_at_trx_commit = 2; memory accepts 0 as well
//	conns=N              connections at most, default 8
//
// A server on another machine is reached by TLS, and its certificate verified,
// unless plaintext=true says otherwise by name. Passwords appear in no error
// and no log.
//
// # What the server must be
//
// Sessions that we open get a strict sql_mode, READ COMMITTED and a short
// lock wait. A server that does not fsync at COMMIT is refused unless the
// durability option accepts it. Tables are not created by themselves: use
// transactional.Store.Schema or CreateSchema.
//
// # Outcomes
//
// A transaction whose COMMIT was sent and not answered is fault.ErrUnknown, and
// is never repeated by itself; all else that fails is known not to have been
// applied, because its connection is closed or its ROLLBACK was answered.
// After an error no further statement of that transaction reaches the server:
// after a deadlock the server would execute it on its own, and COMMIT after a
// lock wait would keep half of the transaction.
package mysql
