/** Where a new instance can live on this host: a folder beside the others, and ports that nobody has. Nothing is reserved. */
import { dirname, isAbsolute, join } from 'node:path'
import { isMirabelleError, MirabelleError, type Assignment, type Endpoint } from '@mirabelle/messages'
import type { Disk, Network, Party } from '@mirabelle/runtime'

const FIRST_PORT = 7_000
const LAST_PORT = 65_535

/** A folder that does not exist, where the other instances of the host are, or in the agent's own folder when there are none. */
export async function freeFolder(
  disk: Disk,
  name: string,
  { agentDir, known }: { readonly agentDir: string; readonly known: readonly Assignment[] },
): Promise<string> {
  if (!/^[a-z][a-z0-9-]*$/.test(name))
    throw new MirabelleError('message.bad', `"${name}" is no name for the folder of an instance`)
  const root = known[0] === undefined ? agentDir : dirname(known[0].datadir)
  const taken = new Set(known.map(({ datadir }) => datadir))
  for (let turn = 1; ; turn += 1) {
    const path = join(root, turn === 1 ? name : `${name}-${turn}`)
    if (!taken.has(path) && !(await disk.exists(path))) return path
  }
}

/** The folder, when nothing is in it yet. Rejects with `datadir.foreign` when something is. */
export async function emptyFolder(disk: Disk, path: string): Promise<string> {
  if (!isAbsolute(path))
    throw new MirabelleError('message.bad', `the folder of an instance needs an absolute path, not "${path}"`)
  if ((await disk.exists(path)) && (await disk.list(path)).length > 0)
    throw new MirabelleError('datadir.foreign', `Segment directory '${path}' exists but is not empty!`)
  return path
}

/** A free port for each entry: the wanted one when nobody listens there, else the next above all that this host's instances have. */
export async function freePorts(
  wanted: readonly (number | null)[],
  options: { readonly isFree: (port: number) => Promise<boolean>; readonly known: readonly Assignment[] },
): Promise<number[]> {
  const { isFree, known } = options
  const owned = known.flatMap(({ sqlPort, listen }) => [sqlPort, listen.port])
  let next = Math.max(FIRST_PORT, ...owned) + 1
  const given: number[] = []
  for (const port of wanted) {
    if (port !== null && port > 0 && !given.includes(port) && (await isFree(port))) {
      given.push(port)
      continue
    }
    while (given.includes(next) || !(await isFree(next))) {
      next += 1
      if (next > LAST_PORT)
        throw new MirabelleError('listen.failed', 'this host has no free port for an instance')
    }
    given.push(next)
    next += 1
  }
  return given
}

/** Nobody listens there now, on any of the addresses. */
export async function canListen(network: Network, endpoint: Endpoint, self: Party): Promise<boolean> {
  try {
    const listener = await network.listen(
      endpoint,
      () => self,
      () => {
        throw new MirabelleError('not.ready', 'nobody is here yet')
      },
    )
    await listener.close()
    return true
  } catch (error) {
    if (isMirabelleError(error, 'listen.failed')) return false
    throw error
  }
}
