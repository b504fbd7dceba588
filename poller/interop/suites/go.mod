module rstserver/poller/interop/suites

go 1.26.0
