module arl/tests/bench

go 1.24
