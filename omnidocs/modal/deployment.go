package modal

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Deployment says what is deployed on Modal: a class and a web endpoint that scale with what is asked of them, down to nothing, and a
// job by the clock. [Deployment.Python] writes the program for Modal's own command line, which is the only supported way to have these.
type Deployment struct {
	// Config says what runs. Fleet, Lifetime, IdleTimeout, Access, Tags, Pool and Reader count for nothing here. Env must hold nothing
	// secret: it is written into the program.
	Config
	// MinContainers are kept ready, and paid for; MaxContainers bounds how many there are; BufferContainers are kept beyond those at
	// work. Zero means none, 3 and none. They count for the class and for the endpoint, each for itself.
	MinContainers, MaxContainers, BufferContainers int
	// ScaledownWindow is how long a container without work is kept. Zero means [DefaultScaledownWindow].
	ScaledownWindow time.Duration
	// Retries says how calls of the class that fail are tried again.
	Retries Retries
	// Public makes the endpoint one that Modal lets everybody reach. Then one of Secrets must have OMNIDOCS_TOKEN, or everybody can use
	// it. Otherwise Modal asks for a proxy token, see [Endpoint].
	Public bool
	// Schedule is when the job runs, in cron's five fields; Timezone is where these are the times of, "Europe/Berlin" for example. The
	// job reads what is in the folder inbox of the volume, and writes into its folders results, processed and failed, as
	// examples/scheduled does. Empty means that there is no job, and UTC.
	Schedule, Timezone string
	// JobProgram is a file on this machine that is put into the image for the job: examples/scheduled, built for linux/amd64. Empty
	// means that the image has it at /usr/local/bin/scheduled.
	JobProgram string
	// JobTimeout bounds a run of the job. Zero means an hour.
	JobTimeout time.Duration
}

// Retries says how often, and after what time, something is tried again.
type Retries struct {
	// Max is how often. Zero means 3, -1 never.
	Max int
	// InitialDelay is the time before the first repetition; each further one is Backoff times as long, up to MaxDelay. Zero means 2 s,
	// 2, and 10 s.
	InitialDelay, MaxDelay time.Duration
	Backoff                float64
}

// Names of what the program has.
const (
	// WorkerClass is the class, with the methods extract and request.
	WorkerClass = "Worker"
	// ServerName is the web endpoint.
	ServerName = "Server"
	// JobName is the job.
	JobName = "daily"

	jobPath           = "/usr/local/bin/scheduled"
	defaultContainers = 3
	defaultRetries    = 3
)

func (d Deployment) withDefaults() Deployment {
	d.Config = d.Config.withDefaults()
	for _, field := range []struct {
		value    *int
		fallback int
	}{{&d.MaxContainers, defaultContainers}, {&d.Retries.Max, defaultRetries}} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	d.MaxContainers = max(d.MaxContainers, d.MinContainers)
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&d.ScaledownWindow, DefaultScaledownWindow}, {&d.Retries.InitialDelay, 2 * time.Second}, {&d.Retries.MaxDelay, 10 * time.Second},
		{&d.JobTimeout, time.Hour},
	} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	if d.Retries.Backoff == 0 {
		d.Retries.Backoff = 2
	}
	if d.Timezone == "" {
		d.Timezone = "UTC"
	}
	return d
}

func (d Deployment) faults() faults {
	f := d.Config.faults()
	for _, n := range []struct {
		name  string
		value int
	}{{"MinContainers", d.MinContainers}, {"MaxContainers", d.MaxContainers}, {"BufferContainers", d.BufferContainers}} {
		f.check(n.value >= 0, n.name, n.value, "is negative")
	}
	f.check(d.Retries.Max >= -1 && d.Retries.Max <= 10, "Retries.Max", d.Retries.Max, "want -1 to 10")
	f.check(d.Retries.Backoff >= 1 && d.Retries.Backoff <= 10, "Retries.Backoff", d.Retries.Backoff, "want 1 to 10")
	f.check(d.Retries.InitialDelay >= 0 && d.Retries.InitialDelay <= time.Minute, "Retries.InitialDelay", d.Retries.InitialDelay, "want a minute at most")
	f.check(d.Retries.MaxDelay >= time.Second && d.Retries.MaxDelay <= time.Minute, "Retries.MaxDelay", d.Retries.MaxDelay, "want one second to one minute")
	for _, s := range []struct {
		name  string
		value time.Duration
		most  time.Duration
	}{{"ScaledownWindow", d.ScaledownWindow, 20 * time.Minute}, {"JobTimeout", d.JobTimeout, maxLifetime}, {"Config.Timeout", d.Timeout, maxLifetime}} {
		f.check(s.value >= 2*time.Second && s.value <= s.most && s.value%time.Second == 0, s.name, s.value, fmt.Sprintf("want whole seconds, from two to %s", s.most))
	}
	if d.Schedule != "" {
		_, err := cron.ParseStandard(d.Schedule)
		f.check(err == nil && len(strings.Fields(d.Schedule)) == 5, "Schedule", strconv.Quote(d.Schedule),
			`want cron's five fields: minute, hour, day of the month, month, day of the week, such as "0 0 * * *"`)
		_, err = time.LoadLocation(d.Timezone)
		f.check(err == nil && d.Timezone != "Local", "Timezone", strconv.Quote(d.Timezone), `want a name such as "Europe/Berlin"`)
		f.check(!d.NoVolume, "NoVolume", true, "the job has nowhere to find files")
	}
	for name := range d.Env {
		f.check(!secretName(name), "Env", name, "would be written into the program: put it into one of Secrets, with modal secret create NAME "+name+"=…")
	}
	for name, value := range d.strings() {
		f.check(validText(value), name, strconv.Quote(value), "is no UTF-8, or has a zero byte")
	}
	return f
}

// secretName says whether a variable's name tells that its value is for few.
func secretName(name string) bool {
	for _, word := range strings.Split(strings.ToUpper(name), "_") {
		switch word {
		case "TOKEN", "SECRET", "PASSWORD", "KEY", "APIKEY", "CREDENTIALS":
			return true
		}
	}
	return false
}

// strings are what is written into the program.
func (d Deployment) strings() map[string]string {
	all := map[string]string{
		"Model": d.Model, "Device": d.Device, "Program": d.Program, "JobProgram": d.JobProgram, "Image.Registry": d.Image.Registry,
		"Image.RegistrySecret": d.Image.RegistrySecret, "Image.Python": d.Image.Python, "GPU": d.GPU, "ReadyPath": d.ReadyPath,
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"Image.Commands", d.Image.Commands}, {"Args", d.Args}, {"Command", d.Command}, {"Regions", d.Regions}} {
		for i, v := range list.values {
			all[list.name+"["+strconv.Itoa(i)+"]"] = v
		}
	}
	for name, v := range d.Env {
		all["Env["+name+"]"] = v
	}
	return all
}

// jobCommand is what the job runs.
func (d Deployment) jobCommand() []string {
	return []string{jobPath, "-dir", d.Mount, "-once", "-model", d.Model, "-device", d.Device}
}

// local is a file of this machine as the program names it, which may be run from any folder.
func local(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	return filepath.Abs(file)
}
