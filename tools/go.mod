module github.com/warrenmq/warren/tools

go 1.26.8
