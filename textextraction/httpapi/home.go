package httpapi

import (
	_ "embed"
	"net/http"
)

//go:embed home.html
var homePage []byte

//go:embed openapi.json
var openAPI []byte

// home is a page to try the server with. It loads nothing from elsewhere.
func (a *API) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'")
	_, _ = w.Write(homePage) // a caller who has gone is none of our business
}

func (a *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}
