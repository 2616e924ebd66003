package tiny

import "fmt"

// SampleLetter is [SamplePage] with other numbers and goods: letter n, from 0, is not like the others.
func SampleLetter(n int) string {
	goods := []string{"brass lamps", "oil cans", "iron hooks", "wool blankets", "tin plates", "clay pots", "silk ribbons"}
	return fmt.Sprintf("# Order %d\n\nThank you for your letter of May %d. The goods will leave our house on Monday.\n\n- %d %s\n- %d boxes of paper\n\nPlease pay $%d.40 by the end of the month.",
		4711+n, 1+n%28, 2+n, goods[n%len(goods)], 3+n%5, 86+3*n)
}
