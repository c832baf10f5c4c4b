package mysql_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// No MySQL takes part in these tests, so what it would refuse is looked for in
// the text of every statement that the suite makes MariaDB execute.
//
// Sources: MySQL 8.0 Reference Manual, 9.3 "Keywords and Reserved Words", 12.1
// "Built-In Function and Operator Reference", 13 "SQL Statements".

// newlyReserved are the words that MySQL 8 reserves and MariaDB 10.11 does not:
// as a name they need quotes there.
var newlyReserved = strings.Fields(`CUBE CUME_DIST DENSE_RANK EMPTY EXCEPT FIRST_VALUE FUNCTION GROUPING GROUPS INTERSECT
	JSON_TABLE LAG LAST_VALUE LATERAL LEAD MANUAL NTH_VALUE NTILE OF PARALLEL PERCENT_RANK QUALIFY RANK ROW_NUMBER SYSTEM
	TABLESAMPLE GET IO_AFTER_GTIDS IO_BEFORE_GTIDS MASTER_BIND OPTIMIZER_COSTS STORED VIRTUAL GENERATED LIBRARY`)

// refusedByMySQL are forms that MariaDB takes and MySQL 8 does not.
var refusedByMySQL = map[string]*regexp.Regexp{
	"RETURNING":                        regexp.MustCompile(`(?i)\bRETURNING\b`),
	"CREATE OR REPLACE TABLE":          regexp.MustCompile(`(?i)\bCREATE\s+OR\s+REPLACE\b`),
	"IF [NOT] EXISTS within ALTER":     regexp.MustCompile(`(?i)\bALTER\b.*\bIF\s+(NOT\s+)?EXISTS\b`),
	"CREATE INDEX IF NOT EXISTS":       regexp.MustCompile(`(?i)\bINDEX\s+IF\s+(NOT\s+)?EXISTS\b`),
	"SET STATEMENT":                    regexp.MustCompile(`(?i)^\s*SET\s+STATEMENT\b`),
	"a wait after FOR UPDATE":          regexp.MustCompile(`(?i)\bFOR\s+UPDATE\s+WAIT\b`),
	"LIMIT ROWS EXAMINED":              regexp.MustCompile(`(?i)\bROWS\s+EXAMINED\b`),
	"system versioning":                regexp.MustCompile(`(?i)\bSYSTEM_TIME\b|\bSYSTEM\s+VERSIONING\b`),
	"a sequence":                       regexp.MustCompile(`(?i)\b(NEXTVAL|LASTVAL|SETVAL)\b|\bNEXT\s+VALUE\s+FOR\b`),
	"a type of MariaDB's":              regexp.MustCompile(`(?i)\b(INET4|INET6|UUID|VECTOR|VARCHAR2|NUMBER)\s*(\(|NOT|,|$)`),
	"a function of MariaDB's":          regexp.MustCompile(`(?i)\b(NVL2|JSON_DETAILED|JSON_COMPACT|JSON_LOOSE|JSON_EXISTS|JSON_QUERY|ADD_MONTHS|TO_CHAR|NATURAL_SORT_KEY|SFORMAT|DECODE_ORACLE|COLUMN_GET|COLUMN_CREATE|KDF|UUID_SHORT_V4|VALUE)\s*\(`),
	"a variable of MariaDB's":          regexp.MustCompile(`(?i)@@(SESSION\.|GLOBAL\.)?(tx_isolation|tx_read_only|max_statement_time|in_transaction|last_insert_id_oracle|server_uid)\b`),
	"a collation of MariaDB's":         regexp.MustCompile(`(?i)\b\w+_nopad_\w+\b|\buca1400_\w+\b`),
	"a storage engine of MariaDB's":    regexp.MustCompile(`(?i)\bENGINE\s*=?\s*(ARIA|COLUMNSTORE|ROCKSDB|SPIDER|CONNECT)\b`),
	"an option of a table of its own":  regexp.MustCompile(`(?i)\b(PAGE_COMPRESSED|TRANSACTIONAL\s*=|IETF_QUOTES)\b`),
	"a column that is compressed":      regexp.MustCompile(`(?i)\bCOMPRESSED\b`),
	"PERIOD FOR, WITHOUT OVERLAPS":     regexp.MustCompile(`(?i)\bPERIOD\s+FOR\b|\bWITHOUT\s+OVERLAPS\b`),
	"a comment that only MariaDB runs": regexp.MustCompile(`/\*M!`),
	// And the other way round: what MySQL 8 takes and MariaDB does not is found
	// by running it. What MySQL says it will take away one day:
	"SQL_CALC_FOUND_ROWS, FOUND_ROWS": regexp.MustCompile(`(?i)\bSQL_CALC_FOUND_ROWS\b|\bFOUND_ROWS\s*\(`),
}

// asMySQLReads is a statement as MySQL 8 reads it: comments for MariaDB are none
// of its business, those for its own version are text; what is quoted is a value
// or a name, and cannot be refused.
func asMySQLReads(text string) string {
	text = regexp.MustCompile(`(?s)/\*M![0-9]*.*?\*/`).ReplaceAllString(text, " ")
	text = regexp.MustCompile(`(?s)/\*!([0-9]*)(.*?)\*/`).ReplaceAllString(text, " $2 ")
	return regexp.MustCompile("(?s)'(?:[^'\\\\]|''|\\\\.)*'|`[^`]*`|\"(?:[^\"\\\\]|\\\\.)*\"").ReplaceAllString(text, " x ")
}

// refusals lists what MySQL 8 would refuse of a statement.
func refusals(text string) (out []string) {
	text = asMySQLReads(text)
	for what, form := range refusedByMySQL {
		if form.MatchString(text) {
			out = append(out, what)
		}
	}
	for _, word := range regexp.MustCompile(`[A-Za-z_]+`).FindAllString(text, -1) {
		if slices.Contains(newlyReserved, strings.ToUpper(word)) {
			out = append(out, word+" is a reserved word")
		}
	}
	return out
}

// TestRefusals: what finds statements that are not portable does find some.
func TestRefusals(t *testing.T) {
	for text, refused := range map[string]bool{
		"INSERT INTO t (a) VALUES (1) RETURNING a": true, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT": true,
		"CREATE TABLE t (a TEXT COLLATE utf8mb4_nopad_bin)": true, "SELECT rank FROM t": true, "SELECT @@tx_isolation": true,
		"CREATE TABLE t (a TEXT COLLATE /*M!100202 utf8mb4_nopad_bin */ /*!80017 utf8mb4_0900_bin */)": false,
		"SELECT `rank`, 'it''s RETURNING' FROM t FOR UPDATE SKIP LOCKED":                               false,
		"CREATE TABLE IF NOT EXISTS t (a INT)":                                                         false,
		"CREATE TABLE t (a UUID NOT NULL)":                                                             true,
	} {
		if got := refusals(text); (len(got) > 0) != refused {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// portable notes every statement that reaches the server while a test runs, and
// returns what checks them.
func portable(t *testing.T, s *server) (check func()) {
	t.Helper()
	s.exec(t, "SET GLOBAL log_output = 'TABLE'")
	s.exec(t, "TRUNCATE mysql.general_log")
	s.exec(t, "SET GLOBAL general_log = 1")
	return func() {
		s.exec(t, "SET GLOBAL general_log = 0")
		rows, err := s.root.Query("SELECT DISTINCT CONVERT(argument USING utf8mb4) FROM mysql.general_log" +
			" WHERE command_type IN ('Query', 'Prepare') AND user_host LIKE 'root%'")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		checked, compounds := 0, 0
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, "general_log") {
				continue // our own
			}
			if strings.HasPrefix(text, "BEGIN NOT ATOMIC") || text == "SELECT @@in_transaction" {
				compounds++
				continue // is sent to MariaDB alone; its statements are among the others
			}
			checked++
			for _, what := range refusals(text) {
				t.Errorf("MySQL 8 does not take %s:\n%.2000s", what, text)
			}
		}
		if err := rows.Err(); err != nil || checked < 50 || compounds == 0 {
			t.Errorf("only %d statements were looked at, and %d compound ones: %v", checked, compounds, err)
		}
		t.Logf("%d different statements are such as MySQL 8 takes", checked)
	}
}
