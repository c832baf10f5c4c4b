package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A row is the medians of one entrant's laps with one number of callers.
type row struct {
	result
	least, most float64 // rates
}

// rowsOf puts laps together, in the order in which they came.
func rowsOf(all []result) []row {
	var rows []row
	for len(all) > 0 {
		first := all[0]
		var same, rest []result
		for _, r := range all {
			if r.Entrant == first.Entrant && r.Callers == first.Callers {
				same = append(same, r)
			} else {
				rest = append(rest, r)
			}
		}
		rows, all = append(rows, medians(same)), rest
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.Callers - b.Callers })
	return rows
}

// medians puts the laps of one entrant together.
func medians(laps []result) row {
	of := func(value func(r *result) float64) (values []float64) {
		for i := range laps {
			values = append(values, value(&laps[i]))
		}
		slices.Sort(values)
		return values
	}
	median := func(value func(r *result) float64) float64 { v := of(value); return v[len(v)/2] }
	rates := of(func(r *result) float64 { return r.Rate })
	out := row{result: laps[0], least: rates[0], most: rates[len(rates)-1]}
	out.Rate = median(func(r *result) float64 { return r.Rate })
	out.Drain = median(func(r *result) float64 { return r.Drain })
	out.P50 = median(func(r *result) float64 { return r.P50 })
	out.P99 = median(func(r *result) float64 { return r.P99 })
	out.Max = median(func(r *result) float64 { return r.Max })
	out.PeakMB = median(func(r *result) float64 { return r.PeakMB })
	out.CPU = map[string]float64{}
	for name := range laps[0].CPU {
		out.CPU[name] = median(func(r *result) float64 { return r.CPU[name] })
	}
	return out
}

// bestByHand is the fastest row by hand with so many callers, or nil.
func bestByHand(rows []row, callers int) *row {
	var best *row
	for i, r := range rows {
		if r.Callers == callers && strings.HasPrefix(r.Entrant, byHandName) && (best == nil || r.Rate > best.Rate) {
			best = &rows[i]
		}
	}
	return best
}

// printTables prints the rates, and what they are to the best by hand.
func printTables(out io.Writer, all []result) {
	rows := rowsOf(all)
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "\t\tcheck-ins a second\tto the best\tlatency of a Put, us\t\t\tCPU, us a check-in\t\t\t\t\tthen\tpeak")
	fmt.Fprintln(tab, "callers\tentrant\tmedian [least - most]\tby hand\tp50\tp99\tmax\tclient\tMySQL\tCassandra\tmemcached\tbeanstalkd\tdrained\tMB\t")
	for _, r := range rows {
		ratio := ""
		if best := bestByHand(rows, r.Callers); best != nil {
			ratio = fmt.Sprintf("%.2f", r.Rate/best.Rate)
		}
		drained := ""
		if r.Drain > 0 {
			drained = fmt.Sprintf("%.0f/s", r.Drain)
		}
		fmt.Fprintf(tab, "%d\t%s\t%.0f [%.0f - %.0f]\t%s\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t\n",
			r.Callers, r.Entrant, r.Rate, r.least, r.most, ratio, r.P50, r.P99, r.Max,
			cpu(r, "client"), cpu(r, "transactional"), cpu(r, "amorphous"), cpu(r, "volatile"), cpu(r, "transitory"), drained, r.PeakMB)
	}
	tab.Flush()
	printBare(out, rows)
}

// bare are the entrants that accept, beside the statements alone that they need.
var bare = []struct{ entrant, beside string }{{"queued", "raw-put"}, {"rowed", "raw-tx"}}

// printBare prints what the latency of a Put is to that of its statements alone.
func printBare(out io.Writer, rows []row) {
	for _, b := range bare {
		for _, r := range rows {
			at := slices.IndexFunc(rows, func(other row) bool { return other.Entrant == b.beside && other.Callers == r.Callers })
			if r.Entrant == b.entrant && at >= 0 {
				fmt.Fprintf(out, "%d callers: the p50 of %s is %.2f of that of %s\n", r.Callers, b.entrant, r.P50/rows[at].P50, b.beside)
			}
		}
	}
}

func cpu(r row, name string) string {
	used, ok := r.CPU[name]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.0f", used)
}
