//go:build ignore

// Packs the Go module into a file tree laid out as a module proxy (GOPROXY=file://DIRECTORY). Usage, in this directory:
// go run package.go VERSION DIRECTORY
package main

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/st-secrets/st-secrets/bindings/go"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run package.go VERSION DIRECTORY")
		os.Exit(2)
	}
	if err := pack("v"+os.Args[1], filepath.Join(os.Args[2], module, "@v")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pack(version, directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	goMod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"list":            version + "\n",
		version + ".info": fmt.Sprintf(`{"Version":%q}`+"\n", version),
		version + ".mod":  string(goMod),
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return archive(filepath.Join(directory, version+".zip"), module+"@"+version+"/")
}

// archive packs the files that users need, and the licences.
func archive(path, prefix string) error {
	names, err := filepath.Glob("*")
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		kept := slices.Contains([]string{".go", ".c", ".h", ".mod", ".md"}, filepath.Ext(name))
		return !kept || strings.HasSuffix(name, "_test.go") || name == "package.go" || name == "api.go"
	})
	names = append(names, "../../LICENSE-APACHE", "../../LICENSE-MIT")
	for _, pattern := range []string{"prebuilt/*.h", "prebuilt/*/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		names = append(names, found...)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	packed := zip.NewWriter(file)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		to, err := packed.Create(prefix + strings.TrimPrefix(name, "../../"))
		if err != nil {
			return err
		}
		if _, err := to.Write(content); err != nil {
			return err
		}
	}
	if err := packed.Close(); err != nil {
		return err
	}
	return file.Close()
}
