package modaltest

import (
	"context"
	"slices"
	"time"

	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Deployed is a function, a class or a server that "modal deploy" has made.
type Deployed struct {
	// App is the app's name, Name that of the function, of the class with ".*", or of the server.
	App, Name string
	// GPU and GPUs are what a container has; Volumes say where it sees which; Secrets are the names of those that it has.
	GPU     string
	GPUs    uint32
	Volumes map[string]string
	Secrets []string
	// Timeout and StartupTimeout bound a call and the start of a container.
	Timeout, StartupTimeout time.Duration
	// Scaling says how many containers there are, Concurrency how many calls one has at a time.
	Scaling     Scaling
	Concurrency uint32
	// Retries says how calls are tried again.
	Retries Retries
	// Cron and Timezone are when it runs by itself.
	Cron, Timezone string
	// HTTP is set for a server.
	HTTP *HTTP
	// Methods are those of a class.
	Methods []string
	// CBOR says whether Go can call it.
	CBOR bool
}

// Retries says how a function is tried again.
type Retries struct {
	Max                    uint32
	Backoff                float32
	InitialDelay, MaxDelay time.Duration
}

// HTTP says how a server is reached.
type HTTP struct {
	Port                      uint32
	StartupTimeout, ExitGrace time.Duration
	Public                    bool
}

// Deployed are what has been deployed, in the order in which it was made.
func (s *Server) Deployed() []Deployed {
	s.mu.Lock()
	defer s.mu.Unlock()
	apps := map[string]string{}
	for _, p := range s.published {
		apps[p.GetAppId()] = p.GetName()
	}
	var all []Deployed
	for _, r := range s.created {
		all = append(all, s.deployed(apps[r.GetAppId()], r))
	}
	return all
}

// deployed reads the request that made a function, which has its choices in one of two places. The lock is held.
func (s *Server) deployed(app string, r *pb.FunctionCreateRequest) Deployed {
	f, data := r.GetFunction(), r.GetFunctionData()
	if f == nil {
		f = data.GetRankedFunctions()[0].GetFunction()
	}
	name := f.GetFunctionName()
	if name == "" {
		name = data.GetFunctionName()
	}
	d := Deployed{
		App: app, Name: name, GPU: f.GetResources().GetGpuConfig().GetGpuType(), GPUs: f.GetResources().GetGpuConfig().GetCount(), Volumes: map[string]string{},
		Timeout: secs(f.GetTimeoutSecs()), StartupTimeout: secs(f.GetStartupTimeoutSecs()), Concurrency: f.GetMaxConcurrentInputs(),
		Scaling: scalingOf(f.GetAutoscalerSettings()),
		Retries: Retries{
			Max: f.GetRetryPolicy().GetRetries(), Backoff: f.GetRetryPolicy().GetBackoffCoefficient(),
			InitialDelay: millis(f.GetRetryPolicy().GetInitialDelayMs()), MaxDelay: millis(f.GetRetryPolicy().GetMaxDelayMs()),
		},
	}
	for _, m := range f.GetVolumeMounts() {
		d.Volumes[m.GetMountPath()] = m.GetVolumeId()[len("vo-"):]
	}
	for _, id := range f.GetSecretIds() {
		for name, found := range s.secrets {
			if found.id == id {
				d.Secrets = append(d.Secrets, name)
			}
		}
	}
	schedule := data.GetSchedule()
	if schedule == nil {
		schedule = f.GetSchedule()
	}
	d.Cron, d.Timezone = schedule.GetCron().GetCronString(), schedule.GetCron().GetTimezone()
	if h := f.GetHttpConfig(); h != nil {
		d.HTTP = &HTTP{h.GetPort(), secs(h.GetStartupTimeout()), secs(h.GetExitGracePeriod()), h.GetUnauthenticated()}
	}
	formats := slices.Clone(f.GetSupportedInputFormats())
	for method, definition := range f.GetMethodDefinitions() {
		d.Methods = append(d.Methods, method)
		formats = append(formats, definition.GetSupportedInputFormats()...)
	}
	d.CBOR = slices.Contains(formats, pb.DataFormat_DATA_FORMAT_CBOR)
	return d
}

func secs(n uint32) time.Duration   { return time.Duration(n) * time.Second }
func millis(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// AppGetByDeploymentName says that nothing is deployed by that name yet.
func (s *control) AppGetByDeploymentName(context.Context, *pb.AppGetByDeploymentNameRequest) (*pb.AppGetByDeploymentNameResponse, error) {
	return &pb.AppGetByDeploymentNameResponse{}, nil
}

// AppCreate makes an app that is deployed afterwards.
func (s *control) AppCreate(context.Context, *pb.AppCreateRequest) (*pb.AppCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.AppCreateResponse_builder{AppId: s.id("ap"), AppPageUrl: s.URL()}.Build(), nil
}

// AppHeartbeat hears that a client lives.
func (s *control) AppHeartbeat(context.Context, *pb.AppHeartbeatRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// AppClientDisconnect hears that it leaves.
func (s *control) AppClientDisconnect(context.Context, *pb.AppClientDisconnectRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// MountGetOrCreate takes the files of a program.
func (s *control) MountGetOrCreate(context.Context, *pb.MountGetOrCreateRequest) (*pb.MountGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.MountGetOrCreateResponse_builder{MountId: s.id("mo")}.Build(), nil
}

// MountPutFile says that a file is there already.
func (s *control) MountPutFile(context.Context, *pb.MountPutFileRequest) (*pb.MountPutFileResponse, error) {
	return pb.MountPutFileResponse_builder{Exists: true}.Build(), nil
}

// MountBatchedCheckExistence says that all files are there.
func (s *control) MountBatchedCheckExistence(context.Context, *pb.MountBatchedCheckExistenceRequest) (*pb.MountBatchedCheckExistenceResponse, error) {
	return &pb.MountBatchedCheckExistenceResponse{}, nil
}

// FunctionPrecreate gives a function its id.
func (s *control) FunctionPrecreate(_ context.Context, r *pb.FunctionPrecreateRequest) (*pb.FunctionPrecreateResponse, error) {
	name := r.GetFunctionName()
	return pb.FunctionPrecreateResponse_builder{
		FunctionId: "fu-" + name, HandleMetadata: pb.FunctionHandleMetadata_builder{FunctionName: name}.Build(),
	}.Build(), nil
}

// FunctionCreate writes a function down.
func (s *control) FunctionCreate(_ context.Context, r *pb.FunctionCreateRequest) (*pb.FunctionCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created = append(s.created, r)
	f := r.GetFunction()
	if f == nil {
		f = r.GetFunctionData().GetRankedFunctions()[0].GetFunction()
	}
	name := f.GetFunctionName()
	return pb.FunctionCreateResponse_builder{
		FunctionId: "fu-" + name, Function: f, HandleMetadata: pb.FunctionHandleMetadata_builder{FunctionName: name}.Build(),
		FunctionData: pb.FunctionData_builder{
			FunctionName: name, RankedFunctions: []*pb.FunctionData_RankedFunction{pb.FunctionData_RankedFunction_builder{Function: f}.Build()},
		}.Build(),
	}.Build(), nil
}

// ClassCreate writes a class down.
func (s *control) ClassCreate(_ context.Context, r *pb.ClassCreateRequest) (*pb.ClassCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.ClassCreateResponse_builder{ClassId: s.id("cs"), HandleMetadata: &pb.ClassHandleMetadata{}}.Build(), nil
}

// AppPublish makes what was made that of an app.
func (s *control) AppPublish(_ context.Context, r *pb.AppPublishRequest) (*pb.AppPublishResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, r)
	s.apps[r.GetName()] = true
	return pb.AppPublishResponse_builder{Url: s.URL(), DeployedAt: float64(time.Now().Unix())}.Build(), nil
}
