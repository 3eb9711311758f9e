/**
 * Watches what instances and agents say against what lies on their disks (I3, I4): a promise that is told before it is durable, or that is not kept, shows in
 * the moment in which it is told, not only when a crash happens to follow. Made with the promise watch of a simulation; a broken promise ends the run.
 */
import { stateDir, type RoleChange } from '@mirabelle/instance'
import type { Message } from '@mirabelle/messages'
import type { InstancePlace, RunningInstance, SimCluster } from './sim-cluster.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import type { SimConnection } from './sim-connection.ts'
import type { SimFile } from './sim-files.ts'
import type { SimProcess } from './sim-process.ts'
import { SimFailure } from './sim-world.ts'

/** A mismatch that two answers of the same process show, so far apart, is none of the moment. */
const LASTING_MS = 200

/** Requests that carry an epoch: only the coordinator of the newest one may make them, only a mirror that obeys no newer one may ask for WAL. */
const WITH_EPOCH: ReadonlySet<string> = new Set([
  'fts.probe',
  'segment.promote',
  'segment.syncRepOff',
  'epoch.promise',
  'standby.mark',
  'dispatch.open',
  'instance.assign',
  'instance.configure',
  'wal.start',
])

type OnReply = (reply: Message) => void

export class DurableWatch {
  readonly #cluster: SimCluster
  /** What a small file holds, and the bytes that this was read from. */
  readonly #read = new WeakMap<SimFile, { readonly bytes: Uint8Array; readonly value: unknown }>()
  /** Since when a primary says that it does not wait for its mirror while its disk says that it does. */
  readonly #forgets = new Map<SimProcess, number>()

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    cluster.fabric.asked = (at, message) => this.#requested(at, message)
    cluster.onTakenOver = (coordinator) => this.#takenOver(coordinator)
    cluster.onRole = (running, change) => this.#changed(running, change)
  }

  /** How many instances of the segments remember durably that the standby is behind. */
  marks(): number {
    return this.#segments.filter(
      (row) => this.#durable(row.hostname, row.datadir, 'standby-stale.json') === true,
    ).length
  }

  /** So many segments have to remember that the standby is behind before the coordinator goes on without it: then whoever takes over hears of it. */
  get marksNeeded(): number {
    return Math.floor(this.#segments.length / 2)
  }

  get #segments(): readonly InstancePlace[] {
    return [...this.#cluster.places.values()].filter(({ content }) => content >= 0)
  }

  /** I2: who is called in sync must be waited for after a restart, too. */
  inSync({ process, assignment }: RunningInstance): void {
    if (assignment.content < 0) return
    if (this.#durable(process.host.name, assignment.datadir, 'sync-rep.json') === true) return
    throw new SimFailure(
      'I2',
      `dbid ${assignment.dbid} calls its mirror in sync, and would not wait for it after a restart`,
    )
  }

  /** I3: commits that do not wait for the mirror must not wait again after a restart, or the content hangs until somebody notices. */
  probed({ process, assignment, instance }: RunningInstance, isSyncRepEnabled: boolean): void {
    const isForgotten =
      !isSyncRepEnabled &&
      instance.roleState === 'primary' &&
      assignment.content >= 0 &&
      this.#durable(process.host.name, assignment.datadir, 'sync-rep.json') === true
    if (!isForgotten) {
      this.#forgets.delete(process)
      return
    }
    const { nowMs } = this.#cluster.world
    const since = this.#forgets.get(process) ?? nowMs
    this.#forgets.set(process, since)
    if (nowMs - since > LASTING_MS)
      throw new SimFailure(
        'I3',
        `dbid ${assignment.dbid} says that it does not wait for its mirror, and its disk that it does`,
      )
  }

  /** A request arrives: what its answer must be, when that is known. */
  #requested(at: SimConnection, message: Message): OnReply | undefined {
    if (!WITH_EPOCH.has(message.type)) return undefined
    const { epoch } = message.type === 'instance.assign' ? message.assignment : (message as { epoch: number })
    const running = this.#cluster.instanceIn(at.process)
    if (running === undefined || epoch === 0) return undefined
    const { dbid } = running.assignment
    const promised = this.#epochOf(running)
    if (epoch < promised && message.type !== 'wal.start')
      return (reply) => {
        if (reply.type !== 'error')
          this.#fail(
            `dbid ${dbid} grants ${message.type} of epoch ${epoch} after it has promised ${promised}`,
          )
      }
    if (epoch <= promised) return undefined
    return (reply) => {
      if (reply.type !== 'error' && this.#epochOf(running) < epoch)
        this.#fail(`dbid ${dbid} answers ${message.type} of epoch ${epoch} before that is durable`)
    }
  }

  /** A standby rules only when so many segments obey no older epoch that the old coordinator can record nothing any more. */
  #takenOver({ instance }: SimCoordinator): void {
    const { epoch, dbid } = instance
    const segments = this.#segments
    const obey = segments.filter(
      (row) => ((this.#durable(row.hostname, row.datadir, 'epoch.json') as number | undefined) ?? 0) >= epoch,
    )
    if (obey.length > segments.length - this.marksNeeded) return
    this.#fail(
      `dbid ${dbid} takes over with epoch ${epoch}, which only ${obey.length} of ${segments.length} segment instances have promised`,
    )
  }

  /** I3: commits of a new primary must not wait for a mirror that it does not have, nor after a restart. */
  #changed({ process, assignment, instance }: RunningInstance, { from, to }: RoleChange): void {
    if (from !== 'promoting' || to !== 'primary') return
    const waits = instance.gate?.syncRep === true
    if (!waits && this.#durable(process.host.name, assignment.datadir, 'sync-rep.json') !== true) return
    this.#fail(`dbid ${assignment.dbid} is promoted and waits for a mirror`, 'I3')
  }

  #epochOf({ process, assignment }: RunningInstance): number {
    return (this.#durable(process.host.name, assignment.datadir, 'epoch.json') as number | undefined) ?? 0
  }

  #durable(host: string, datadir: string, name: string): unknown {
    const file = this.#cluster.host(host).files.file(statePath(datadir, name))
    const bytes = file?.durable
    if (file === undefined || bytes === undefined || bytes.length === 0) return undefined
    const known = this.#read.get(file)
    if (known?.bytes === bytes) return known.value
    const { value } = JSON.parse(new TextDecoder().decode(bytes)) as { value: unknown }
    this.#read.set(file, { bytes, value })
    return value
  }

  #fail(what: string, promise = 'I4'): void {
    this.#cluster.world.fail(new SimFailure(promise, what))
  }
}

/** Paths of small files, by folder and name: they are asked for at every probe. */
const statePaths = new Map<string, Map<string, string>>()

function statePath(datadir: string, name: string): string {
  let paths = statePaths.get(datadir)
  if (paths === undefined) {
    paths = new Map()
    statePaths.set(datadir, paths)
  }
  let path = paths.get(name)
  if (path === undefined) {
    path = `${stateDir(datadir)}/${name}`
    paths.set(name, path)
  }
  return path
}
