/**
 * A throw-away cluster around an example: made in a temporary folder on free ports, destroyed when the example is done, when it fails,
 * and on Ctrl-C (once; a second Ctrl-C ends the process at once).
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCluster, type Cluster, type CreateClusterOptions } from 'mirabelle'

/** The example was ended with Ctrl-C or SIGTERM. */
export class Interrupted extends Error {}

/** Runs `body` with a new cluster. Rejects with what `body` rejects with, or with `Interrupted`. */
export async function withCluster<T>(
  options: Omit<CreateClusterOptions, 'dir' | 'start'>,
  body: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const interrupt = onceInterrupted()
  const dir = await mkdtemp(join(tmpdir(), 'mirabelle-example-'))
  try {
    const cluster = await createCluster({ ...options, dir, start: false })
    try {
      // Starting is not cut short: what was half started could not be found and ended.
      await cluster.start()
      return await Promise.race([body(cluster), interrupt.happened])
    } finally {
      await cluster.destroy()
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
    interrupt.forget()
  }
}

function onceInterrupted(): { happened: Promise<never>; forget: () => void } {
  let interrupt: (signal: string) => void = () => undefined
  const happened = new Promise<never>((_resolve, reject) => {
    interrupt = (signal) => reject(new Interrupted(`ended by ${signal}; the cluster is being deleted`))
  })
  happened.catch(() => undefined) // seen by whoever races with it
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.once(signal, interrupt)
  return {
    happened,
    forget: () => signals.forEach((signal) => process.removeListener(signal, interrupt)),
  }
}
