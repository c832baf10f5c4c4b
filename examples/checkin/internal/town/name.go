package town

import (
	"fmt"
	"strings"
)

var (
	firstNames = strings.Fields(`Ann Ben Cleo Dan Eve Finn Gil Hana Ida Jon Kim Leo Mia Ned Ola Pia
		Quin Rosa Sam Tia Uma Vic Wes Xena Yuri Zoe Abel Bea Carl Dora Emil Fay`)
	venueKinds = strings.Fields(`Pier Bakery Park Library Diner Market Station Cinema Bar Museum
		Garage Gallery Gym Café Bookshop Terrace Arena Bridge Chapel Harbour`)
	venueLooks = strings.Fields(`Old Blue Corner Little Grand Royal Green Upper Lower Golden Silent
		Iron Sunny Hidden First`)
)

func userNames(n int) map[int64]string {
	names := make(map[int64]string, n)
	for i := range n {
		names[int64(i)] = fmt.Sprintf("%s-%d", firstNames[i%len(firstNames)], i)
	}
	return names
}

func venueNames(n int) map[int64]string {
	names := make(map[int64]string, n)
	for i := range n {
		name := venueLooks[i/len(venueKinds)%len(venueLooks)] + " " + venueKinds[i%len(venueKinds)]
		if round := i / len(venueKinds) / len(venueLooks); round > 0 {
			name = fmt.Sprintf("%s %d", name, round+1)
		}
		names[int64(i)] = name
	}
	return names
}
