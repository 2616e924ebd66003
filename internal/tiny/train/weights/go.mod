module github.com/omnidocs/omnidocs/internal/tiny/train/weights

go 1.26
