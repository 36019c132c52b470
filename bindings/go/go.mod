module github.com/st-secrets/st-secrets/bindings/go

go 1.24
