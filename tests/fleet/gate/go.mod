module fleet.test/gate

go 1.24
