/** Faults of the coordinator and its standby, alone and in the middle of what only they know. */
import { acts, type FaultTools } from './fault-tools.ts'
import type { Struck } from './fault-triggers.ts'
import type { SimHost } from './sim-host.ts'

/** The statement ends there: it is not COMMIT PREPARED. */
const ONLY_COMMIT = 'COMMIT\0'

/** It hangs or is cut off, somebody activates the standby, and then it comes back. */
export function replaceCoordinator(tools: FaultTools): void {
  const { cluster, operator } = tools.context
  const random = tools.random
  const old = cluster.coordinator()?.process
  if (old === undefined) return
  const cutOff = random.chance(0.5)
  const others = [...cluster.hosts.values()].filter((host) => host !== old.host && random.chance(0.7))
  if (!cutOff) old.pause()
  else for (const other of others) tools.both(old.host, other, 'cut')
  const activatesMs = random.between(300, 2_000)
  tools.after(activatesMs, () => operator.activate())
  // The old one may notice in the same moment that its standby is gone.
  if (cutOff && random.chance(0.5))
    tools.after(activatesMs + random.between(-20, 80), () => resetStandby(tools, old.host))
  tools.later(() => {
    old.resume()
    for (const other of others) tools.both(old.host, other, 'mend')
    tools.context.hurry()
  })
}

/** The coordinator goes on without its standby, then goes itself, and the standby is asked to take over. */
export function leaveStandbyBehind(tools: FaultTools): void {
  const { cluster, operator, hurry } = tools.context
  const random = tools.random
  const coordinator = cluster.coordinator()?.process
  const standby = standbyHost(tools)
  if (coordinator === undefined || standby === undefined || coordinator.host === standby) return
  resetStandby(tools, coordinator.host)
  tools.both(coordinator.host, standby, 'cut')
  tools.later(() => tools.both(coordinator.host, standby, 'mend'))
  const goesMs = random.between(30, 1_200)
  tools.after(goesMs - 15, hurry)
  tools.after(goesMs, () => coordinator.kill())
  tools.after(goesMs + random.between(10, 400), () => operator.activate())
}

function standbyHost(tools: FaultTools): SimHost | undefined {
  const { cluster, operator } = tools.context
  return operator.standby === null ? undefined : cluster.host(operator.standby.hostname)
}

/**
 * A segment goes in the middle of a commit, or all that take part, and mostly soon after it the coordinator, which is the only one that knows how it ends. Or the segment
 * has no room to prepare, or to commit.
 */
export function loseParticipant(tools: FaultTools): void {
  const { triggers, focus, cluster, hurry } = tools.context
  const { random } = tools
  const goesMs = random.between(0.5, 3)
  const waitMs = random.pick([random.between(0, 50), random.between(0, 800)])
  const all = random.chance(0.5)
  const lacksRoom = random.chance(0.3)
  const coordinatorGoes = random.chance(0.7)
  const strike = ({ to }: Struck): void => {
    hurry()
    if (lacksRoom) return to === undefined ? undefined : tools.fillDisk(to.host)
    tools.after(goesMs, () => {
      to?.kill()
      if (all) for (const one of [...cluster.running.values()]) if (acts('primary')(one)) one.process.kill()
      if (coordinatorGoes) tools.after(waitMs, () => cluster.coordinator()?.process.kill())
    })
  }
  const types = [random.pick(['PREPARE TRANSACTION', 'COMMIT PREPARED', ONLY_COMMIT])]
  triggers.atMessage(random, tools.isFocused() ? focus : undefined, strike, types)
}

/** The coordinator has no room for its catalog while something happens that it has to record. */
export function unrecorded(tools: FaultTools): void {
  const host = tools.context.cluster.coordinator()?.process.host
  if (host === undefined) return
  tools.fillDisk(host)
  tools.after(tools.random.between(0, 20), () =>
    tools.one(({ assignment }) => assignment.content >= 0)?.process.kill(),
  )
}

function resetStandby(tools: FaultTools, from: SimHost): void {
  const standby = standbyHost(tools)
  if (standby !== undefined) tools.context.cluster.fabric.reset(from, standby)
}
