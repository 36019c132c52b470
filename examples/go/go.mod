module example

go 1.24

require github.com/st-secrets/st-secrets/bindings/go v0.1.0

replace github.com/st-secrets/st-secrets/bindings/go => ../../bindings/go
