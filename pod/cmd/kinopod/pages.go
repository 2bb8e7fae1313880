package main

import (
	"net/http"

	"kinopod/pod"
	"kinopod/webapp"
)

// pages is where pod and web app meet.
func pages(p pod.Page) (http.Handler, error) {
	return webapp.Handler(webapp.Options{Name: p.Name, Base: p.Base, Methods: p.Methods, Log: p.Log})
}
