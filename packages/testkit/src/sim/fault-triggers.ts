/**
 * Faults that begin with something that happens: a message of a drawn type is sent, or a process does a drawn operation on its disk. Rare messages are drawn as
 * often as frequent ones, so that what follows from each is tried. Made with the faults of a simulation; `clear` ends what has not begun.
 */
import type { Message } from '@mirabelle/messages'
import type { SimCluster } from './sim-cluster.ts'
import type { SimConnection } from './sim-connection.ts'
import type { DiskOperation } from './sim-disk.ts'
import type { SimHost } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'
import type { SimRandom } from './sim-random.ts'

/** Types of messages, and of statements among them. */
const MESSAGES = [
  'agent.exited',
  'agent.fence',
  'agent.start',
  'agent.started',
  'agent.stop',
  'dispatch.open',
  'dispatch.opened',
  'dispatch.settled',
  'dispatch.settledAre',
  'epoch.promise',
  'epoch.promised',
  'fts.probe',
  'fts.probed',
  'instance.assign',
  'query.dispatch',
  'query.done',
  'COMMIT',
  'COMMIT PREPARED',
  'PREPARE TRANSACTION',
  'segment.promote',
  'segment.syncRepOff',
  'standby.activate',
  'standby.mark',
  'standby.marked',
  'wal.data',
  'wal.flushed',
  'wal.historyFile',
  'wal.identified',
  'wal.identify',
  'wal.start',
  'wal.started',
] as const

const OPERATIONS: readonly DiskOperation[] = [
  'open',
  'write',
  'sync',
  'writeFileDurable',
  'rename',
  'remove',
  'syncDir',
]

/** Where it hits: the ends of a connection, or a process at its disk (then both are the same). */
export interface Struck {
  readonly from: SimProcess
  readonly to: SimProcess | undefined
}

interface Armed {
  readonly matches: (message: Message, text: () => string) => boolean
  readonly focus: number | undefined
  left: number
  readonly strike: (struck: Struck) => void
}

interface ArmedDisk {
  readonly host: SimHost
  readonly operation: DiskOperation
  readonly after: boolean
  left: number
  readonly strike: (process: SimProcess) => void
}

export class FaultTriggers {
  readonly #cluster: SimCluster
  #messages: Armed[] = []
  #disks: ArmedDisk[] = []

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    const { fabric } = cluster
    const { tap } = fabric
    fabric.tap = (from, message) => {
      tap?.(from, message)
      if (this.#messages.length > 0) this.#sent(from, message)
    }
  }

  /** `strike` runs at the first, second or third message of a drawn type. Returns the type. */
  atMessage(
    random: SimRandom,
    focus: number | undefined,
    strike: (struck: Struck) => void,
    types: readonly string[] = MESSAGES,
  ): string {
    const type = random.pick(types)
    const isStatement = /^[A-Z]/.test(type)
    this.#messages.push({
      matches: (message, text) =>
        isStatement ? message.type === 'query.dispatch' && text().includes(type) : message.type === type,
      focus,
      left: random.pick([0, 0, 1, 2]),
      strike,
    })
    return type
  }

  /** `strike` runs before or after a drawn operation on the disk of the host. Returns it in words. */
  atDiskOperation(
    random: SimRandom,
    host: SimHost,
    strike: (process: SimProcess) => void,
    operations: readonly DiskOperation[] = OPERATIONS,
  ): string {
    const operation = random.pick(operations)
    const after = random.chance(0.5)
    this.#disks.push({ host, operation, after, left: random.below(4), strike })
    host.onDiskOperation = (process, done, isAfter) => this.#operated(host, process, done, isAfter)
    return `${after ? 'after' : 'before'} ${operation}`
  }

  clear(): void {
    this.#messages = []
    this.#disks = []
    for (const host of this.#cluster.hosts.values()) host.onDiskOperation = undefined
  }

  #sent(from: SimConnection, message: Message): void {
    let text: string | undefined
    const statements = (): string =>
      (text ??=
        message.type === 'query.dispatch'
          ? message.items.map((one) => Buffer.from(one[4]).toString('latin1')).join(' ')
          : '')
    for (const armed of [...this.#messages]) {
      if (!armed.matches(message, statements) || !this.#isAbout(armed.focus, from)) continue
      if (armed.left-- > 0) continue
      this.#messages = this.#messages.filter((one) => one !== armed)
      armed.strike({ from: from.process, to: from.other?.process })
    }
  }

  #isAbout(focus: number | undefined, from: SimConnection): boolean {
    if (focus === undefined) return true
    const is = (process: SimProcess | undefined): boolean =>
      this.#cluster.instanceIn(process)?.assignment.content === focus
    return is(from.process) || is(from.other?.process)
  }

  #operated(host: SimHost, process: SimProcess, operation: DiskOperation, after: boolean): void {
    for (const armed of [...this.#disks]) {
      if (armed.host !== host || armed.operation !== operation || armed.after !== after) continue
      if (armed.left-- > 0) continue
      this.#disks = this.#disks.filter((one) => one !== armed)
      armed.strike(process)
    }
    if (!this.#disks.some((one) => one.host === host)) host.onDiskOperation = undefined
  }
}
