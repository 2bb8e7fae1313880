package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kinopod/shared/api"
)

// readyTime is what the parts of a pod have to say that they are ready.
const readyTime = 2 * time.Second

// Metric is a number that another part of the pod keeps, as it is when asked.
type Metric struct {
	Name    string // after "kinopod_"
	Help    string
	Counter bool              // only grows; else a gauge
	Labels  map[string]string // fixed ones
	Value   func() float64
}

// metrics are what the door itself counts, and what others keep.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	stream   prometheus.Counter
	logins   *prometheus.CounterVec
}

const namespace = "kinopod"

func newMetrics(connections func() float64, others []Metric) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "requests_total", Help: "HTTP requests by what was asked for and how it ended.",
		}, []string{"route", "status"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "logins_total", Help: "Attempts to log in by how they ended.",
		}, []string{"result"}),
	}
	bytes := prometheus.CounterOpts{
		Namespace: namespace, Name: "sent_bytes_total", Help: "Bytes of videos that were sent, by how.",
		ConstLabels: prometheus.Labels{"source": "stream"},
	}
	m.stream = prometheus.NewCounter(bytes)
	m.registry.MustRegister(
		m.requests, m.stream, m.logins,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "connections", Help: "Open connections."}, connections),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, o := range others {
		if o.Counter {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Namespace: namespace, Name: o.Name, Help: o.Help, ConstLabels: o.Labels,
			}, o.Value))
			continue
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: o.Name, Help: o.Help, ConstLabels: o.Labels,
		}, o.Value))
	}
	return m
}

func (m *metrics) streamed(n int64) { m.stream.Add(float64(n)) }

func (m *metrics) login(err error) {
	result := "ok"
	if err != nil {
		result = string(api.AsError(err).Code)
	}
	m.logins.WithLabelValues(result).Inc()
}

// measure counts a request under the first part of its path.
func (s *Server) measure(c *fiber.Ctx) error {
	err := c.Next()
	if err != nil {
		err = s.fail(c, err)
	}
	s.metrics.requests.WithLabelValues(routeName(c.Path()), strconv.Itoa(c.Response().StatusCode())).Inc()
	return err
}

// routeName has few values, whatever is asked for.
func routeName(path string) string {
	for _, p := range []string{api.PathUploads, "/api", api.PathStream, api.PathTorrents, api.PathThumbnails, "/tracker", "/web"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return p[strings.LastIndexByte(p, '/')+1:]
		}
	}
	return "page"
}

// serveAdmin serves operators until ctx ends.
func (s *Server) serveAdmin(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		if err := s.parts.Ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operators: %w", err)
	}
	return nil
}
