// Package cost tells what it costs to read pages on rented machines: before, from the times of a page and of loading the model, and
// the prices of a [Rates] table.
//
// A machine is paid for from its start to its end, so a job costs
//
//	containers × (load + pages of one × time a page / pages at once + idle)   of GPU, CPU and memory time
//
// and the more pages one start serves, the less of it is loading. Nothing here asks anybody for prices: tables carry a date, and
// yours take the place of the ones that are here.
package cost
