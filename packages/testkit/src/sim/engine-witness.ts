/** What happens in a stand-in engine, for who watches promises. */
import type { EngineCompletion } from '@mirabelle/engine'
import type { KvWitness } from './kv-session.ts'
import type { SimProcess } from './sim-process.ts'
import { SimFailure } from './sim-world.ts'

export interface EngineWitness {
  /** These requests are complete; nobody else knows yet. */
  completed(completed: readonly EngineCompletion[]): void
  /** That this transaction was committed is to be forgotten here. */
  forgets(gid: string): void
  /** A statement fails because the disk is full. */
  lackedRoom(): void
}

/** What the session of an engine in this process asks and tells. */
export function kvWitness(
  { world, name, host }: SimProcess,
  witness: () => EngineWitness | undefined,
): KvWitness {
  const runs = (sql: string, how: string): void =>
    world.fail(new SimFailure('I6', `${name} runs "${sql}"${how}`))
  return {
    besidePrepared: (sql) => runs(sql, ' beside a prepared transaction'),
    notPrepared: (sql) => runs(sql, ', which is not prepared'),
    forgets: (gid) => witness()?.forgets(gid),
    hasRoom: () => {
      if (host.disk.full) witness()?.lackedRoom()
      return !host.disk.full
    },
  }
}
