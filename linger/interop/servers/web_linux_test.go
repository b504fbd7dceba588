//go:build linux

package servers

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/cloudwego/hertz/pkg/app"
	hertz "github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/hlog"
	"github.com/cloudwego/hertz/pkg/network/standard"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v2"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

func onChi(s *fleet.Served) http.Handler {
	r := chi.NewRouter()
	r.Handle("/*", s)
	return r
}

func onMux(s *fleet.Served) http.Handler {
	r := mux.NewRouter()
	r.PathPrefix("/").Handler(s)
	return r
}

func onGin(s *fleet.Served) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Any("/*path", gin.WrapH(s))
	return r
}

func startEcho(t testing.TB) *fleet.Served {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard)
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		e.Listener, s.Shutdown = s.Listener, e.Shutdown
		e.Any("/*", echo.WrapHandler(s))
		return e.Start("")
	})
}

func startFiber(t testing.TB) *fleet.Served {
	f := fiber.New(fiber.Config{DisableStartupMessage: true})
	f.Server().MaxIdleWorkerDuration = 100 * time.Millisecond // its pool ends so long after its Serve
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		f.Use(func(c *fiber.Ctx) error { s.HandleFast(c.Context()); return nil })
		s.Shutdown = f.ShutdownWithContext
		return f.Listener(s.Listener)
	})
}

func startHertz(t testing.TB) *fleet.Served {
	hlog.SetOutput(io.Discard)
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		h := hertz.New(hertz.WithListener(s.Listener), hertz.WithTransport(standard.NewTransporter), hertz.WithExitWaitTime(0))
		h.Any("/*path", func(_ context.Context, c *app.RequestContext) {
			if string(c.Path()) == "/wait" {
				defer s.Working()()
				<-s.Gate
			}
			c.SetBodyString("hello")
		})
		s.Shutdown = h.Shutdown
		return h.Run()
	})
}
