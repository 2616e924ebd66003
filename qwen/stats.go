package qwen

import "github.com/omnidocs/omnidocs/internal/program"

// Stats count what a model's programs have cost since it was loaded: how many were compiled and what that took, how many are held,
// how often they ran and for how long.
type Stats = program.Stats

// ProgramStats are one program's part of [Stats], by the name that says its part of the model and its shapes.
type ProgramStats = program.Cost

// Stats tells the counts so far. It may be called beside anything but Close.
func (m *Model) Stats() Stats { return m.programs.Stats() }

// ProgramStats tells the counts of each program, those with the most time in runs first. It may be called beside anything but Close.
func (m *Model) ProgramStats() []ProgramStats { return m.programs.ByProgram() }
