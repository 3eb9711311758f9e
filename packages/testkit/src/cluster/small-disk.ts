/**
 * A disk of its own for a test: a small file system in memory that can be filled to the last block and emptied again. Only in a mount namespace of its own,
 * which `inOwnNamespace` makes: the mounts end with the last process in it, however the test ends, and nobody else sees them.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
  closeSync,
  openSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

/** Present in every Linux, and used by nobody in this namespace. */
const ROOM = '/mnt'
const CHUNK = Buffer.alloc(256 * 1024, 0x42)
const VARIABLE = 'MIRABELLE_TEST_OWN_NAMESPACE'

/** Whether this process was started by the command of `inOwnNamespace`. */
export const isInOwnNamespace = (): boolean => process.env[VARIABLE] === '1'

/** Why there can be no mount namespace here; undefined when there can. */
export function whyNoNamespace(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has mount namespaces'
  if (process.getuid?.() !== 0) return 'only root may mount'
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', ROOM], { stdio: 'pipe' })
    execFileSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return `no mount namespace can be made here: ${(error as Error).message.trim()}`
  }
}

/** The command that runs a program in a mount namespace of its own; it is killed when this process ends. */
export function inOwnNamespace(
  program: string,
  args: readonly string[],
): { readonly command: string; readonly args: string[]; readonly env: NodeJS.ProcessEnv } {
  const before = ['--mount', '--propagation', 'private', 'setpriv', '--pdeathsig', 'KILL']
  return { command: 'unshare', args: [...before, program, ...args], env: { ...process.env, [VARIABLE]: '1' } }
}

export class SmallDisk {
  readonly path: string
  readonly #ballast: string

  /** Mounts it. `name` tells it from others of the namespace. */
  constructor(name: string, megabytes: number) {
    if (!isInOwnNamespace()) throw new Error('a small disk needs a mount namespace of its own')
    if (!existsSync(join(ROOM, '.small-disks'))) {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', ROOM])
      mkdirSync(join(ROOM, '.small-disks'))
    }
    this.path = join(ROOM, name)
    this.#ballast = join(this.path, 'ballast')
    mkdirSync(this.path)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', this.path])
  }

  /** Moves a folder here; its old name leads to it. Nobody may use it meanwhile. */
  take(folder: string): void {
    const here = join(this.path, 'taken')
    cpSync(folder, here, { recursive: true, preserveTimestamps: true })
    rmSync(folder, { recursive: true })
    symlinkSync(here, folder)
  }

  /** Bytes that can still be written. */
  get free(): number {
    const { bavail, bsize } = statfsSync(this.path)
    return bavail * bsize
  }

  /** Leaves room for so many bytes, whatever others have taken or freed meanwhile. */
  fill(leave = 0): void {
    const file = openSync(this.#ballast, 'a', 0o600)
    try {
      const tooMuch = leave - this.free
      if (tooMuch > 0) ftruncateSync(file, Math.max(0, fstatSync(file).size - tooMuch))
      for (let room = this.free - leave; room > 0; room = this.free - leave)
        writeSync(file, CHUNK, 0, Math.min(room, CHUNK.length))
    } catch (error) {
      // Somebody else took the last block in between.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(file)
    }
  }

  /** Makes room again. */
  empty(): void {
    rmSync(this.#ballast, { force: true })
  }
}
