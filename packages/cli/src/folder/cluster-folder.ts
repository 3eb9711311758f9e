/**
 * The folder of a cluster on the machine of the administrator: `cluster.json`, `cluster.key`, and on localhost one folder a host.
 * Every command opens it anew; a change is durable when `update` resolves, and takes nothing back that another command has written meanwhile.
 */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isMirabelleError, type Dbid, type SegmentRow } from '@mirabelle/messages'
import { realDisk, faults, readPrivateFile } from '@mirabelle/runtime'
import { CliError } from '../errors.ts'
import { parseClusterFile, type ClusterFile, type HostEntry } from './cluster-file.ts'
import { whileAlone } from './write-lock.ts'

/** The folder that a command works on: `--dir`, else MIRABELLE_DIR, else `.mirabelle` here. */
export function clusterDir(option: string | undefined): string {
  return resolve(option ?? process.env['MIRABELLE_DIR'] ?? '.mirabelle')
}

const fileOf = (dir: string): string => join(dir, 'cluster.json')

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CliError(`${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

type Change = Partial<ClusterFile> | ((now: ClusterFile) => Partial<ClusterFile>)

function changed(file: ClusterFile, changes: Change): ClusterFile {
  return { ...file, ...(typeof changes === 'function' ? changes(file) : changes) }
}

function isChanged(file: ClusterFile, changes: Change): boolean {
  return JSON.stringify(changed(file, changes)) !== JSON.stringify(file)
}

export class ClusterFolder {
  readonly dir: string
  #file: ClusterFile

  private constructor(dir: string, file: ClusterFile) {
    this.dir = dir
    this.#file = file
  }

  /** The cluster in the folder, or undefined when there is none. */
  static async find(dir: string): Promise<ClusterFolder | undefined> {
    const text = await readIfThere(fileOf(dir))
    return text === undefined
      ? undefined
      : new ClusterFolder(dir, parseClusterFile(fileOf(dir), text.toString('utf8')))
  }

  /** The cluster in the folder. Throws CliError when there is none. */
  static async open(dir: string): Promise<ClusterFolder> {
    const folder = await ClusterFolder.find(dir)
    if (folder === undefined)
      throw new CliError(
        `there is no cluster in ${dir}: create one with "mirabelle init --dir ${dir}", or name its folder with --dir or MIRABELLE_DIR`,
      )
    return folder
  }

  /** The cluster in the folder, completely made. Throws CliError when its `init` did not end. */
  static async openReady(dir: string): Promise<ClusterFolder> {
    const folder = await ClusterFolder.open(dir)
    if (folder.file.progress !== 'ready')
      throw new CliError(
        `the cluster in ${dir} is not completely made: run "mirabelle init --dir ${dir}" again, which goes on where the last one ended`,
      )
    return folder
  }

  /** Makes the folder of a new cluster and writes its description. Throws CliError when another command has just done so. */
  static async create(dir: string, file: ClusterFile): Promise<ClusterFolder> {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const folder = new ClusterFolder(dir, file)
    await whileAlone(dir, async () => {
      if ((await ClusterFolder.find(dir)) !== undefined)
        throw new CliError(`another command has just begun to make a cluster in ${dir}: run this again`)
      await folder.#write(file)
    })
    return folder
  }

  get file(): ClusterFile {
    return this.#file
  }

  /** Changes what differs from what this command knows. What is made from what is there is a function: it is asked again with what the file says now. */
  async update(changes: Change): Promise<void> {
    if (isChanged(this.#file, changes)) await whileAlone(this.dir, () => this.#updateAlone(changes))
  }

  async #updateAlone(changes: Change): Promise<void> {
    const now = await ClusterFolder.find(this.dir)
    if (now === undefined) throw new CliError(`there is no cluster in ${this.dir} any more`)
    this.#file = now.file
    if (!isChanged(this.#file, changes)) return
    const next = changed(this.#file, changes)
    if (faults !== undefined) await faults.at('cli.describe.before')
    await this.#write(next)
    if (faults !== undefined) await faults.at('cli.describe.after')
    this.#file = next
  }

  #write(file: ClusterFile): Promise<void> {
    return realDisk.writeFileDurable(fileOf(this.dir), `${JSON.stringify(file, null, 2)}\n`)
  }

  /** The cluster key. Throws CliError when others may read it. */
  key(): Uint8Array {
    const path = join(this.dir, this.#file.keyFile)
    try {
      return readPrivateFile(path)
    } catch (error) {
      if (isMirabelleError(error, 'key.unsafe'))
        throw new CliError(`${error.message}; without the cluster key nobody can talk to the cluster`, {
          cause: error,
        })
      throw error
    }
  }

  row(dbid: Dbid): SegmentRow {
    const row = this.#file.rows.find((one) => one.dbid === dbid)
    if (row === undefined) throw new CliError(`there is no dbid ${dbid} in ${fileOf(this.dir)}`)
    return row
  }

  /** Throws CliError when one of these contents is none of the cluster's. */
  checkContents(contents: readonly number[]): void {
    const known = [...new Set(this.#file.rows.map(({ content }) => content))].sort((a, b) => a - b)
    const unknown = contents.find((content) => !known.includes(content))
    if (unknown === undefined) return
    throw new CliError(`there is no content ${unknown} in ${fileOf(this.dir)}, only ${known.join(', ')}`)
  }

  host(name: string): HostEntry {
    const host = this.#file.hosts.find((one) => one.name === name)
    if (host === undefined) throw new CliError(`there is no host ${name} in ${fileOf(this.dir)}`)
    return host
  }

  /** The instances of content -1. */
  get coordinators(): SegmentRow[] {
    return this.#file.rows.filter((row) => row.content === -1)
  }

  /** Forgets the cluster: deletes the description. What hosts hold is deleted before. */
  async remove(): Promise<void> {
    await rm(fileOf(this.dir), { force: true })
  }
}
