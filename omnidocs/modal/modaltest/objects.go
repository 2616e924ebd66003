package modaltest

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ClientHello greets Python's client.
func (s *control) ClientHello(context.Context, *emptypb.Empty) (*pb.ClientHelloResponse, error) {
	return &pb.ClientHelloResponse{}, nil
}

// AuthTokenGet gives a token that holds for an hour.
func (s *control) AuthTokenGet(context.Context, *pb.AuthTokenGetRequest) (*pb.AuthTokenGetResponse, error) {
	return pb.AuthTokenGetResponse_builder{Token: jwt()}.Build(), nil
}

// EnvironmentGetOrCreate knows one environment.
func (s *control) EnvironmentGetOrCreate(context.Context, *pb.EnvironmentGetOrCreateRequest) (*pb.EnvironmentGetOrCreateResponse, error) {
	return pb.EnvironmentGetOrCreateResponse_builder{
		EnvironmentId: "en-main",
		Metadata: pb.EnvironmentMetadata_builder{
			Name: "main", Settings: pb.EnvironmentSettings_builder{ImageBuilderVersion: "2025.06"}.Build(),
		}.Build(),
	}.Build(), nil
}

// AppGetOrCreate finds an app.
func (s *control) AppGetOrCreate(_ context.Context, r *pb.AppGetOrCreateRequest) (*pb.AppGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.GetAppName()
	if !s.apps[name] && r.GetObjectCreationType() != pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING {
		return nil, status.Errorf(codes.NotFound, "app %s is not there", name)
	}
	s.apps[name] = true
	return pb.AppGetOrCreateResponse_builder{AppId: "ap-" + name}.Build(), nil
}

// VolumeGetOrCreate finds a volume.
func (s *control) VolumeGetOrCreate(_ context.Context, r *pb.VolumeGetOrCreateRequest) (*pb.VolumeGetOrCreateResponse, error) {
	dir := s.VolumeDir(r.GetDeploymentName())
	if r.GetObjectCreationType() == pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(dir); err != nil {
		return nil, status.Errorf(codes.NotFound, "volume %s is not there", r.GetDeploymentName())
	}
	return pb.VolumeGetOrCreateResponse_builder{
		VolumeId: "vo-" + r.GetDeploymentName(), Metadata: pb.VolumeMetadata_builder{Version: r.GetVersion()}.Build(),
	}.Build(), nil
}

// SecretGetOrCreate finds a named secret, or makes one without a name.
func (s *control) SecretGetOrCreate(_ context.Context, r *pb.SecretGetOrCreateRequest) (*pb.SecretGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.GetDeploymentName()
	if name == "" {
		made := secret{id: s.id("st"), values: r.GetEnvDict()}
		s.secrets[made.id] = made
		return pb.SecretGetOrCreateResponse_builder{SecretId: made.id}.Build(), nil
	}
	found, ok := s.secrets[name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "secret %s is not there", name)
	}
	for _, key := range r.GetRequiredKeys() {
		if _, ok := found.values[key]; !ok {
			return nil, status.Errorf(codes.NotFound, "secret %s has no %s", name, key)
		}
	}
	return pb.SecretGetOrCreateResponse_builder{
		SecretId: found.id, Metadata: pb.SecretMetadata_builder{Name: name, Keys: slices.Sorted(maps.Keys(found.values))}.Build(),
	}.Build(), nil
}

// secretValues are those of the secrets of these ids. The lock is held.
func (s *Server) secretValues(ids []string) map[string]string {
	all := map[string]string{}
	for _, found := range s.secrets {
		if slices.Contains(ids, found.id) {
			for k, v := range found.values {
				all[k] = v
			}
		}
	}
	return all
}

// ImageGetOrCreate builds an image: it has what the image before it has.
func (s *control) ImageGetOrCreate(_ context.Context, r *pb.ImageGetOrCreateRequest) (*pb.ImageGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, dir := s.id("im"), ""
	for _, base := range r.GetImage().GetBaseImages() {
		dir = s.images[base.GetImageId()]
	}
	s.images[id] = dir
	return pb.ImageGetOrCreateResponse_builder{
		ImageId: id, Result: pb.GenericResult_builder{Status: pb.GenericResult_GENERIC_STATUS_SUCCESS}.Build(),
	}.Build(), nil
}

// ImagePublish gives an image a name.
func (s *control) ImagePublish(_ context.Context, r *pb.ImagePublishRequest) (*pb.ImagePublishResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.images[r.GetImageId()]; !ok {
		return nil, status.Errorf(codes.NotFound, "image %s is not there", r.GetImageId())
	}
	s.tags[tagged(r.GetTag())] = r.GetImageId()
	return &pb.ImagePublishResponse{}, nil
}

// ImageGetByTag finds an image by its name.
func (s *control) ImageGetByTag(_ context.Context, r *pb.ImageGetByTagRequest) (*pb.ImageGetByTagResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.tags[tagged(r.GetTag())]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "image %s is not there", r.GetTag())
	}
	return pb.ImageGetByTagResponse_builder{ImageId: id}.Build(), nil
}

func tagged(name string) string {
	if !strings.Contains(name, ":") {
		name += ":latest"
	}
	return name
}

// copyTree makes to a copy of from, without the links that are mounts. Files are shared where the system allows it: they are programs,
// which nobody writes to.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		if os.Link(name, target) == nil {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, info.Mode().Perm())
	})
}
