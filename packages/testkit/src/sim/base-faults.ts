/** Faults of bases: one that is made anew beside the one of a mirror, one that is away when nobody else has all of its content. */
import { nextBaseDir, pgdataDir } from '@mirabelle/instance'
import { acts, type FaultTools } from './fault-tools.ts'
import { loseMirror, mirrorOf, primaryOf } from './mirror-faults.ts'
import type { SimProcess } from './sim-process.ts'

/** The base of a mirror is being made anew, and between two steps of that its process goes, or its host, or its primary. */
export function failWhileRefreshing(tools: FaultTools): void {
  const { cluster, operator, triggers } = tools.context
  const { random } = tools
  const mirror = tools.one(acts('mirror'))
  if (mirror === undefined) return
  const { datadir, dbid, content } = mirror.assignment
  const { host } = mirror.process
  const drawn = random.next()
  const mirrorHangsMs = random.chance(0.4) ? random.between(100, 1_500) : 0
  const strike = (process: SimProcess): void => {
    if (cluster.instanceIn(process)?.assignment.dbid !== dbid) return
    tools.say(`dbid ${dbid} is hit while it refreshes its base`)
    if (drawn < 0.4) process.kill()
    else if (drawn < 0.6) tools.power(host)
    else if (drawn < 0.9) primaryOf(tools, content)?.process.kill()
    else tools.pause(process)
  }
  const untilBuilding = (): void => {
    if (!host.files.isFolder(nextBaseDir(datadir))) return tools.after(20, untilBuilding)
    if (mirrorHangsMs > 0) host.disk.hangsUntilMs = cluster.world.nowMs + mirrorHangsMs
    triggers.atDiskOperation(random, host, strike, [
      'rename',
      'rename',
      'remove',
      'syncDir',
      'writeFileDurable',
    ])
  }
  operator.configure(random, { mirror_base_refresh_size: '1kB' })
  untilBuilding()
}

/**
 * A mirror is down, its primary goes on, and then the primary goes and its base, or only the control file, is away for a while. What it has nobody else has: an administrator who asks
 * for the content has to be told so, and must not get another one instead.
 */
export function loseBase(tools: FaultTools): void {
  const { cluster, operator, hurry } = tools.context
  const { random } = tools
  const primary = tools.one(acts('primary'))
  const mirror = primary === undefined ? undefined : mirrorOf(tools, primary.assignment.content)
  if (primary === undefined || mirror === undefined) return
  const { process, assignment } = primary
  const pgdata = pgdataDir(assignment.datadir)
  const path = random.chance(0.6) ? `${pgdata}/global/pg_control` : pgdata
  const waitMs = random.between(5, 60)
  const looksMs = [random.between(100, 800), random.between(800, 2_500)]
  const mayGo = (): boolean => process.alive && acts('primary')(primary)
  const strike = (): void => {
    // One that has come back meanwhile would have all of it.
    if (!mayGo() || cluster.coordinator()?.service?.topology.row(mirror.assignment.dbid)?.status !== 'd')
      return
    process.kill()
    process.host.takeAway(path)
    for (const ms of looksMs) tools.after(ms, () => operator.recover('auto'))
    tools.later(() => process.host.bringBack())
  }
  loseMirror(tools, mirror, undefined, () => {
    hurry()
    tools.after(waitMs, strike)
  })
}
