// Prints the schemas that are compiled into etcd's Go modules, one line for every message, enum and method.

package main

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// printSchema prints one line for every message, enum and method of the files the client speaks.
func printSchema() {
	fmt.Println("# Made from etcd's Go modules by schema.go: cd proto/tests/golden && go run . schema > schema.txt")
	for _, message := range []proto.Message{
		&mvccpb.KeyValue{}, &authpb.Permission{}, &pb.RangeRequest{}, &v3lockpb.LockRequest{},
		&v3electionpb.LeaderKey{}, &grpc_health_v1.HealthCheckRequest{},
	} {
		file := message.ProtoReflect().Descriptor().ParentFile()
		printEnums(file.Enums())
		for i := range file.Messages().Len() {
			printMessage(file.Messages().Get(i))
		}
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				method := file.Services().Get(i).Methods().Get(j)
				fmt.Println("method", method.FullName(), stream(method.IsStreamingClient())+string(method.Input().FullName()),
					stream(method.IsStreamingServer())+string(method.Output().FullName()))
			}
		}
	}
}

func stream(is bool) string {
	if is {
		return "stream:"
	}
	return ""
}

func printMessage(message protoreflect.MessageDescriptor) {
	line := []string{"message", string(message.FullName())}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		kind := field.Kind().String()
		switch field.Kind() {
		case protoreflect.MessageKind:
			kind = string(field.Message().FullName())
		case protoreflect.EnumKind:
			kind = string(field.Enum().FullName())
		}
		text := fmt.Sprintf("%d:%s:%s", field.Number(), field.Name(), kind)
		if field.IsList() {
			text += ":repeated"
		}
		if field.IsPacked() {
			text += ":packed"
		}
		if field.ContainingOneof() != nil {
			text += ":" + string(field.ContainingOneof().Name())
		}
		line = append(line, text)
	}
	fmt.Println(strings.Join(line, " "))
	printEnums(message.Enums())
}

func printEnums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		line := []string{"enum", string(enums.Get(i).FullName())}
		for j := range enums.Get(i).Values().Len() {
			value := enums.Get(i).Values().Get(j)
			line = append(line, fmt.Sprintf("%d:%s", value.Number(), value.Name()))
		}
		fmt.Println(strings.Join(line, " "))
	}
}
