//go:build ignore

// Prints the exported declarations of the package, one a line, in the form of the lists of Go itself. Usage, in this
// directory: go run api.go
package main

import (
	"bytes"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/st-secrets/st-secrets/bindings/go"

func main() {
	pkg, err := load()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := []string{}
	for _, name := range pkg.Scope().Names() {
		if object := pkg.Scope().Lookup(name); object.Exported() {
			lines = append(lines, declaration(object)...)
		}
	}
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

// load reads what the compiler exports of the package: cgo's types and constants have their values there.
func load() (*types.Package, error) {
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	list.Stderr = os.Stderr
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	files := map[string]string{}
	for _, line := range bytes.Split(bytes.TrimSpace(output), []byte("\n")) {
		path, file, _ := strings.Cut(string(line), " ")
		files[path] = file
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	return importer.ForCompiler(token.NewFileSet(), "gc", open).Import(module)
}

// write is a type without the names of parameters, which callers do not use. Other packages have their names.
func write(t types.Type) string {
	return types.TypeString(unnamed(t), func(pkg *types.Package) string {
		if pkg.Path() == module {
			return ""
		}
		return pkg.Name()
	})
}

func unnamed(t types.Type) types.Type {
	signature, ok := t.(*types.Signature)
	if !ok {
		return t
	}
	tuple := func(of *types.Tuple) *types.Tuple {
		parameters := []*types.Var{}
		for parameter := range of.Variables() {
			parameters = append(parameters, types.NewVar(token.NoPos, nil, "", unnamed(parameter.Type())))
		}
		return types.NewTuple(parameters...)
	}
	return types.NewSignatureType(nil, nil, nil, tuple(signature.Params()), tuple(signature.Results()), signature.Variadic())
}

// generic is the list of type parameters, in brackets; nothing without any.
func generic(list *types.TypeParamList) string {
	parameters := []string{}
	for parameter := range list.TypeParams() {
		parameters = append(parameters, parameter.String()+" "+write(parameter.Constraint()))
	}
	if len(parameters) == 0 {
		return ""
	}
	return "[" + strings.Join(parameters, ", ") + "]"
}

// declaration is an object, and its exported fields and methods. An interface is one line: a method more breaks those
// who implement it.
func declaration(object types.Object) []string {
	switch object := object.(type) {
	case *types.Const:
		return []string{fmt.Sprintf("const %s %s = %s", object.Name(), write(object.Type()), object.Val().ExactString())}
	case *types.TypeName:
		return typeLines(object)
	case *types.Func:
		signature := generic(object.Signature().TypeParams()) + strings.TrimPrefix(write(object.Type()), "func")
		return []string{"func " + object.Name() + signature}
	}
	return []string{fmt.Sprintf("var %s %s", object.Name(), write(object.Type()))}
}

func typeLines(name *types.TypeName) []string {
	if name.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", name.Name(), write(name.Type()))}
	}
	lines, declared := []string{}, name.Name()
	if named, ok := name.Type().(*types.Named); ok {
		declared += generic(named.TypeParams())
	}
	if structure, ok := name.Type().Underlying().(*types.Struct); ok {
		lines = append(lines, fmt.Sprintf("type %s struct", declared))
		for field := range structure.Fields() {
			if field.Exported() {
				lines = append(lines, fmt.Sprintf("field %s.%s %s", name.Name(), field.Name(), write(field.Type())))
			}
		}
	} else {
		lines = append(lines, fmt.Sprintf("type %s %s", declared, write(name.Type().Underlying())))
	}
	if types.IsInterface(name.Type()) {
		return lines
	}
	methods := types.NewMethodSet(types.NewPointer(name.Type()))
	ofValue := types.NewMethodSet(name.Type())
	for selection := range methods.Methods() {
		method := selection.Obj()
		if !method.Exported() {
			continue
		}
		receiver := "*" + name.Name()
		if ofValue.Lookup(method.Pkg(), method.Name()) != nil {
			receiver = name.Name()
		}
		signature := strings.TrimPrefix(write(selection.Type()), "func")
		lines = append(lines, fmt.Sprintf("method (%s) %s%s", receiver, method.Name(), signature))
	}
	return lines
}
