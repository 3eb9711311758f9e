/** Faults of the coordinator and its standby, alone and in the middle of what only they know. */
import { acts, type FaultTools } from './fault-tools.ts'
import type { Struck } from './fault-triggers.ts'
import { loseMirror, mirrorOf } from './mirror-faults.ts'
import type { SimHost } from './sim-host.ts'

/** What a coordinator says that holds for as long as it rules. */
const ORDERS = [
  'segment.promote',
  'segment.promote',
  'segment.syncRepOff',
  'instance.assign',
  'instance.assign',
  'instance.configure',
  'standby.mark',
  'dispatch.open',
  'fts.probe',
] as const
type Order = (typeof ORDERS)[number]
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

/** An order is on its way to an instance, and arrives when the standby has taken over. */
export function orderTooLate(tools: FaultTools): void {
  const { cluster, operator, triggers, focus, hurry } = tools.context
  const { random } = tools
  const activatesMs = random.between(20, 600)
  const arrivesMs = activatesMs + random.between(800, 3_500)
  const strike = ({ from, to }: Struck): void => {
    if (to === undefined || to.host === from.host) return
    cluster.fabric.cut(from.host, to.host)
    tools.after(1, () => from.pause())
    tools.after(activatesMs, () => operator.activate())
    tools.after(arrivesMs, () => {
      cluster.fabric.mend(from.host, to.host)
      from.resume()
      hurry()
    })
  }
  const order = random.pick(ORDERS)
  triggers.atMessage(random, tools.isFocused() ? focus : undefined, strike, [order])
  provoke(order, tools)
}

/** Something happens that makes a coordinator say this. */
function provoke(order: Order, tools: FaultTools): void {
  const { cluster, operator } = tools.context
  const { random } = tools
  const own = cluster.coordinator()?.process.host
  if (order === 'segment.promote' || order === 'segment.syncRepOff')
    tools.one(acts(random.chance(0.6) ? 'primary' : 'mirror'))?.process.kill()
  else if (order === 'instance.assign') {
    const mirror = tools.one(acts('mirror'))
    if (mirror !== undefined) loseMirror(tools, mirror, 'auto')
  } else if (order === 'instance.configure') operator.configure(random)
  else if (order === 'standby.mark' && own !== undefined) resetStandby(tools, own)
  else if (order === 'dispatch.open' && own !== undefined) {
    const primary = tools.one(acts('primary'))
    if (primary !== undefined) cluster.fabric.reset(own, primary.process.host)
  }
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
 * A segment goes in the middle of a commit, or all that take part, and mostly soon after it the coordinator, which is the only one that knows how it ends; now and then
 * the next one, too, before it has reached all. Or the segment has no room to prepare, or to commit.
 */
export function loseParticipant(tools: FaultTools): void {
  const { triggers, focus, cluster, hurry } = tools.context
  const { random } = tools
  const goesMs = random.between(0.5, 3)
  const waitMs = random.pick([random.between(0, 50), random.between(0, 800)])
  const all = random.chance(0.5)
  const lacksRoom = random.chance(0.3)
  const coordinatorGoes = random.chance(0.7)
  const nextGoes = random.chance(0.4)
  const nextWaitMs = random.between(0, 60)
  const strike = ({ to }: Struck): void => {
    hurry()
    if (lacksRoom) return to === undefined ? undefined : tools.fillDisk(to.host)
    tools.after(goesMs, () => {
      to?.kill()
      if (all) for (const one of [...cluster.running.values()]) if (acts('primary')(one)) one.process.kill()
      if (!coordinatorGoes) return
      tools.after(waitMs, () => {
        cluster.coordinator()?.process.kill()
        if (nextGoes) killNextCoordinator(tools, nextWaitMs)
      })
    })
  }
  const types = [random.pick(['PREPARE TRANSACTION', 'COMMIT PREPARED', ONLY_COMMIT])]
  triggers.atMessage(random, tools.isFocused() ? focus : undefined, strike, types)
}

/** The next coordinator goes soon after it has opened the first lane of a segment. */
function killNextCoordinator(tools: FaultTools, waitMs: number): void {
  for (const { coordinator } of tools.context.cluster.running.values()) {
    const lanes = coordinator?.service?.dispatcher.lanes
    if (lanes === undefined || ![...lanes.values()].some(({ content, isOpen }) => content >= 0 && isOpen))
      continue
    return tools.after(waitMs, () => coordinator?.process.kill())
  }
  tools.after(3, () => killNextCoordinator(tools, waitMs))
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

/**
 * The connections of the coordinator to a primary end while statements wait there for a mirror whose disk hangs: what took effect is asked for soon after. Or while another
 * primary, which stands still and goes then, has still to prepare what this one has prepared.
 */
export function loseLane(tools: FaultTools): void {
  const { cluster, hurry } = tools.context
  const { random } = tools
  if (random.chance(0.4)) return leaveUndecided(tools)
  const coordinator = cluster.coordinator()?.process
  const primary = tools.one(acts('primary'))
  if (coordinator === undefined || primary === undefined) return
  const mirror = mirrorOf(tools, primary.assignment.content)
  if (mirror !== undefined) {
    const { host } = mirror.process
    host.disk.hangsUntilMs = cluster.world.nowMs + random.between(20, 1_500)
    tools.say(`the disk of ${host.name} hangs, and connections to dbid ${primary.assignment.dbid} end`)
  }
  hurry()
  tools.after(random.between(2, 30), () => cluster.fabric.reset(coordinator.host, primary.process.host))
}

/** What is prepared is found by the coordinator that has not decided yet, and the one that it waits for will never have prepared it. */
function leaveUndecided(tools: FaultTools): void {
  const { cluster, triggers, focus, hurry } = tools.context
  const { random } = tools
  const resetMs = random.between(5, 20)
  const goesMs = resetMs + random.between(20, 400)
  const strike = ({ from, to }: Struck): void => {
    to?.pause()
    hurry()
    tools.after(resetMs, () => {
      for (const { process } of [...cluster.running.values()].filter(acts('primary')))
        if (process !== to) cluster.fabric.reset(from.host, process.host)
    })
    tools.after(goesMs, () => to?.kill())
  }
  triggers.atMessage(random, tools.isFocused() ? focus : undefined, strike, ['PREPARE TRANSACTION'])
}

function resetStandby(tools: FaultTools, from: SimHost): void {
  const standby = standbyHost(tools)
  if (standby !== undefined) tools.context.cluster.fabric.reset(from, standby)
}
