//go:build cgo

package stsecrets

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// FunctionKey returns the key under which the result of a function call is cached, the same in every language:
// prefix:function:argument:argument. Arguments may be nil, booleans, numbers, strings, bytes, and lists, maps and
// pointers of these; a struct is a list of its exported fields.
func FunctionKey(prefix, function string, args []any, named map[string]any) (string, error) {
	var key []byte
	if prefix != "" {
		key = append(append(key, prefix...), ':')
	}
	key = append(key, function...)
	var err error
	for _, arg := range args {
		if key, err = appendArg(append(key, ':'), reflect.ValueOf(arg), 0); err != nil {
			return "", err
		}
	}
	for _, name := range sortedKeys(named) {
		key = append(appendText(append(key, ':'), name, needsQuotes(name)), '=')
		if key, err = appendArg(key, reflect.ValueOf(named[name]), 0); err != nil {
			return "", err
		}
	}
	return string(key), nil
}

// deepest limits the nesting of an argument, because one that contains itself is unlimited.
const deepest = 100

func appendArg(key []byte, arg reflect.Value, depth int) ([]byte, error) {
	for hops := depth; arg.Kind() == reflect.Pointer || arg.Kind() == reflect.Interface; hops++ {
		if hops > deepest {
			return nil, tooDeep(arg)
		}
		if arg.Type() == reflect.TypeFor[*big.Int]() && !arg.IsNil() {
			return arg.Interface().(*big.Int).Append(key, 10), nil
		}
		arg = arg.Elem()
	}
	if depth > deepest {
		return nil, tooDeep(arg)
	}
	switch arg.Kind() {
	case reflect.Invalid:
		return append(key, "null"...), nil
	case reflect.Bool:
		return strconv.AppendBool(key, arg.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(key, arg.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.AppendUint(key, arg.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(key, arg.Float()), nil
	case reflect.String:
		return appendText(key, arg.String(), depth > 0 || needsQuotes(arg.String())), nil
	case reflect.Slice, reflect.Array:
		if arg.Type().Elem() == reflect.TypeFor[byte]() {
			return appendBytes(key, arg), nil
		}
		return appendList(key, arg.Len(), arg.Index, depth)
	case reflect.Struct:
		return appendStruct(key, arg, depth)
	case reflect.Map:
		return appendMap(key, arg, depth)
	}
	return nil, &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf("a %s cannot be part of a key", arg.Type())}
}

func tooDeep(arg reflect.Value) error {
	return &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf("a %s cannot be part of a key: it contains itself or is nested too deeply", arg.Type())}
}

// Go's exponent has a sign and at least two digits; the exponent in a key has neither.
func appendFloat(key []byte, value float64) []byte {
	switch {
	case math.IsNaN(value):
		return append(key, "nan"...)
	case math.IsInf(value, 1):
		return append(key, "inf"...)
	case math.IsInf(value, -1):
		return append(key, "-inf"...)
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(value, 'e', -1, 64), "e")
	number, _ := strconv.Atoi(exponent)
	return strconv.AppendInt(append(append(key, digits...), 'e'), int64(number), 10)
}

func appendBytes(key []byte, arg reflect.Value) []byte {
	value := make([]byte, arg.Len())
	reflect.Copy(reflect.ValueOf(value), arg)
	return append(hex.AppendEncode(append(key, `x"`...), value), '"')
}

func appendList(key []byte, length int, item func(int) reflect.Value, depth int) ([]byte, error) {
	var err error
	key = append(key, '[')
	for i := range length {
		if i > 0 {
			key = append(key, ',')
		}
		if key, err = appendArg(key, item(i), depth+1); err != nil {
			return nil, err
		}
	}
	return append(key, ']'), nil
}

func appendStruct(key []byte, arg reflect.Value, depth int) ([]byte, error) {
	fields := reflect.VisibleFields(arg.Type())
	for _, field := range fields {
		if !field.IsExported() || field.Anonymous {
			return nil, &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf("a %s cannot be part of a key: its field %s is not exported, or is embedded", arg.Type(), field.Name)}
		}
	}
	return appendList(key, len(fields), arg.Field, depth)
}

func appendMap(key []byte, arg reflect.Value, depth int) ([]byte, error) {
	if arg.Type().Key().Kind() != reflect.String {
		return nil, &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf("a %s cannot be part of a key: its keys are not strings", arg.Type())}
	}
	items := make(map[string]reflect.Value, arg.Len())
	for _, name := range arg.MapKeys() {
		items[name.String()] = arg.MapIndex(name)
	}
	var err error
	key = append(key, '{')
	for i, name := range sortedKeys(items) {
		if i > 0 {
			key = append(key, ',')
		}
		key = append(appendText(key, name, true), '=')
		if key, err = appendArg(key, items[name], depth+1); err != nil {
			return nil, err
		}
	}
	return append(key, '}'), nil
}

func appendText(key []byte, text string, quotes bool) []byte {
	if !quotes {
		return append(key, text...)
	}
	key = append(key, '"')
	for i := range len(text) {
		if text[i] == '\\' || text[i] == '"' {
			key = append(key, '\\')
		}
		key = append(key, text[i])
	}
	return append(key, '"')
}

// needsQuotes reports whether text would be read as something else.
func needsQuotes(text string) bool {
	if text == "" || strings.ContainsRune("0123456789+-.[{", rune(text[0])) || strings.ContainsAny(text, `:=\"`) {
		return true
	}
	return slices.ContainsFunc([]string{"true", "false", "null", "nan", "inf"}, func(word string) bool {
		return len(word) == len(text) && strings.EqualFold(word, text)
	})
}

func sortedKeys[V any](items map[string]V) []string {
	names := make([]string, 0, len(items))
	for name := range items {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
