package modaltest

import (
	"context"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Function is one that is called by Modal's clients: with arguments and named arguments, for a value, as CBOR has them (numbers, strings,
// bytes, lists, maps). Its error is one of Python's to the caller.
type Function func(ctx context.Context, args []any, named map[string]any) (any, error)

// HandleMethod makes f the method of a class of an app, as if it had been deployed.
func (s *Server) HandleMethod(app, class, method string, f Function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[app] = true
	s.functions[app+"/"+class+"."+method] = f
}

// inlineBytes is the size from which results are handed out as blobs, as Modal does it.
const inlineBytes = 2 << 20

// FunctionGet finds the function of a class, with its methods.
func (s *control) FunctionGet(_ context.Context, r *pb.FunctionGetRequest) (*pb.FunctionGetResponse, error) {
	class, ok := strings.CutSuffix(r.GetObjectTag(), ".*")
	if !ok {
		return nil, status.Errorf(codes.NotFound, "modaltest has methods of classes, and no function %s", r.GetObjectTag())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := r.GetAppName() + "/" + class + "."
	methods := map[string]*pb.FunctionHandleMetadata{}
	for name := range s.functions {
		if method, ok := strings.CutPrefix(name, prefix); ok {
			methods[method] = pb.FunctionHandleMetadata_builder{
				FunctionName: class + "." + method, UseMethodName: method, IsMethod: true,
				SupportedInputFormats: []pb.DataFormat{pb.DataFormat_DATA_FORMAT_CBOR}, SupportedOutputFormats: []pb.DataFormat{pb.DataFormat_DATA_FORMAT_CBOR},
			}.Build()
		}
	}
	if len(methods) == 0 {
		return nil, status.Errorf(codes.NotFound, "class %s of app %s is not there", class, r.GetAppName())
	}
	return pb.FunctionGetResponse_builder{
		FunctionId: "fu-" + strings.TrimSuffix(prefix, "."), HandleMetadata: pb.FunctionHandleMetadata_builder{
			FunctionName: r.GetObjectTag(), MethodHandleMetadata: methods,
			ClassParameterInfo: pb.ClassParameterInfo_builder{Format: pb.ClassParameterInfo_PARAM_SERIALIZATION_FORMAT_PROTO}.Build(),
		}.Build(),
	}.Build(), nil
}

// FunctionMap calls a method. Its result is there when the call returns.
func (s *control) FunctionMap(ctx context.Context, r *pb.FunctionMapRequest) (*pb.FunctionMapResponse, error) {
	inputs := r.GetPipelinedInputs()
	if len(inputs) != 1 {
		return nil, status.Errorf(codes.Unimplemented, "modaltest takes one input a call, not %d", len(inputs))
	}
	input := inputs[0].GetInput()
	s.mu.Lock()
	f := s.functions[strings.TrimPrefix(r.GetFunctionId(), "fu-")+"."+input.GetMethodName()]
	encoded := input.GetArgs()
	if input.HasArgsBlobId() {
		encoded = s.data[input.GetArgsBlobId()]
	}
	s.mu.Unlock()
	if f == nil {
		return nil, status.Errorf(codes.NotFound, "method %s of %s is not there", input.GetMethodName(), r.GetFunctionId())
	}
	var in struct {
		_     struct{} `cbor:",toarray"`
		Args  []any
		Named map[string]any
	}
	if err := cbor.Unmarshal(encoded, &in); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	value, failed := f(ctx, in.Args, in.Named)
	result := pb.GenericResult_builder{Status: pb.GenericResult_GENERIC_STATUS_SUCCESS}
	if failed != nil {
		result.Status, result.Exception = pb.GenericResult_GENERIC_STATUS_FAILURE, failed.Error()
	} else if err := s.encode(&result, value); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("fc")
	s.results[id] = pb.FunctionGetOutputsItem_builder{Result: result.Build(), DataFormat: pb.DataFormat_DATA_FORMAT_CBOR}.Build()
	return pb.FunctionMapResponse_builder{
		FunctionCallId: id, PipelinedInputs: []*pb.FunctionPutInputsResponseItem{pb.FunctionPutInputsResponseItem_builder{InputJwt: jwt()}.Build()},
	}.Build(), nil
}

// encode puts what a function has returned into a result, as Modal hands it out.
func (s *Server) encode(result *pb.GenericResult_builder, value any) error {
	data, err := cbor.Marshal(value)
	if err != nil {
		return err
	}
	if len(data) <= inlineBytes {
		result.Data = data
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("bl")
	s.data[id] = data
	result.DataBlobId = &id
	return nil
}

// FunctionGetOutputs hands out a result.
func (s *control) FunctionGetOutputs(_ context.Context, r *pb.FunctionGetOutputsRequest) (*pb.FunctionGetOutputsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.results[r.GetFunctionCallId()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "call %s is not there", r.GetFunctionCallId())
	}
	return pb.FunctionGetOutputsResponse_builder{Outputs: []*pb.FunctionGetOutputsItem{item}}.Build(), nil
}

// FunctionUpdateSchedulingParams writes down how a function is to scale.
func (s *control) FunctionUpdateSchedulingParams(_ context.Context, r *pb.FunctionUpdateSchedulingParamsRequest) (*pb.FunctionUpdateSchedulingParamsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scaled = append(s.scaled, r)
	return pb.FunctionUpdateSchedulingParamsResponse_builder{CurrentSettings: r.GetSettings()}.Build(), nil
}

// BlobCreate says where to put what is too large for a call.
func (s *control) BlobCreate(context.Context, *pb.BlobCreateRequest) (*pb.BlobCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("bl")
	address := s.blobsURL + "/" + id
	return pb.BlobCreateResponse_builder{BlobId: id, UploadUrl: &address}.Build(), nil
}

// BlobGet says where to get it.
func (s *control) BlobGet(_ context.Context, r *pb.BlobGetRequest) (*pb.BlobGetResponse, error) {
	return pb.BlobGetResponse_builder{DownloadUrl: s.blobsURL + "/" + r.GetBlobId()}.Build(), nil
}

// Scaled are the settings that clients have set for functions, in their order.
func (s *Server) Scaled() []Scaling {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Scaling
	for _, r := range s.scaled {
		all = append(all, scalingOf(r.GetSettings()))
	}
	return all
}

// Scaling says how many containers a function has.
type Scaling struct {
	Min, Max, Buffer uint32
	// Window is how long a container without work is kept.
	Window time.Duration
	// Target is how many requests a container of a server is to have at a time.
	Target float64
}

func scalingOf(a *pb.AutoscalerSettings) Scaling {
	target := a.GetTargetConcurrencyFloat()
	if target == 0 {
		target = float64(a.GetTargetConcurrency())
	}
	return Scaling{a.GetMinContainers(), a.GetMaxContainers(), a.GetBufferContainers(), secs(a.GetScaledownWindow()), target}
}
