/** The agents of a cluster: asked, and on localhost started and ended by the command line itself. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agentScript, configFile } from '@mirabelle/agent/facts'
import type { MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { agentEndpoint, type HostEntry } from '../folder/cluster-file.ts'
import { prepareLocalHost } from './agent-folder.ts'
import type { Cluster } from './cluster.ts'
import { poll } from './poll.ts'
import { agentProcess, hungSentence } from './silent-agents.ts'

const STATUS_MS = 3_000
const AGENT_START_MS = 30_000
const LOOK_EVERY_MS = 50

export type AgentStatus = MessageOf<'agent.statusIs'>

/** What an agent said, or why it said nothing. */
export interface AgentAnswer {
  readonly host: HostEntry
  readonly status: AgentStatus | undefined
  readonly error: string
}

export function askAgent<K extends RequestType>(
  cluster: Cluster,
  host: HostEntry,
  message: MessageOf<K>,
  timeoutMs: number,
): Promise<ReplyOf<K>> {
  return cluster.control.ask(agentEndpoint(host), message, timeoutMs)
}

/** The status of every agent. Never rejects: who does not answer says why. */
export function agentAnswers(cluster: Cluster): Promise<AgentAnswer[]> {
  return Promise.all(
    cluster.folder.file.hosts.map(async (host) => {
      try {
        return { host, status: await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS), error: '' }
      } catch (error) {
        return { host, status: undefined, error: sentenceOf(error) }
      }
    }),
  )
}

/** Makes every agent answer: starts those of localhost that do not run. Resolves with who answers, and who does not and why. */
export async function ensureAgents(
  cluster: Cluster,
): Promise<{ answers: AgentAnswer[]; started: HostEntry[] }> {
  const answers = await agentAnswers(cluster)
  if (!cluster.folder.file.local) return { answers, started: [] }
  const started: HostEntry[] = []
  const all = await Promise.all(
    answers.map(async (answer) => {
      if (answer.status !== undefined) return answer
      const again = await rouse(cluster, answer)
      if (again.status !== undefined) started.push(answer.host)
      return again
    }),
  )
  return { answers: all, started }
}

const told = new WeakMap<Cluster, Set<string>>()

/** The same for a command that goes on without those that do not answer: it says once which they are. */
export async function ensureAgentsOrSay(cluster: Cluster): Promise<void> {
  const { answers } = await ensureAgents(cluster)
  const before = told.get(cluster) ?? new Set<string>()
  told.set(cluster, before)
  for (const { host, error } of answers.filter(({ status }) => status === undefined)) {
    if (!before.has(host.name)) cluster.reporter.say(`The agent of ${host.name} does not answer: ${error}`)
    before.add(host.name)
  }
}

/** Starts the agent of a host of this machine that did not answer. Never rejects: why it does not answer now is in the answer. */
export async function rouse(cluster: Cluster, { host }: AgentAnswer): Promise<AgentAnswer> {
  const hung = await agentProcess(host)
  if (hung !== undefined) return { host, status: undefined, error: hungSentence(hung) }
  try {
    return { host, status: await startAgent(cluster, host), error: '' }
  } catch (error) {
    return { host, status: undefined, error: sentenceOf(error) }
  }
}

/** Throws CliError when an agent that is needed does not answer. */
export function requireAgents(answers: readonly AgentAnswer[]): void {
  const silent = answers.filter(({ status }) => status === undefined)
  if (silent.length === 0) return
  const names = silent.map(
    ({ host, error }) => `  ${host.name} (${host.addresses.join(', ')}:${host.agentPort}): ${error}`,
  )
  throw new CliError(
    `${silent.length === 1 ? 'an agent does' : 'agents do'} not answer:\n${names.join('\n')}\nelsewhere than on this machine start it with "mirabelle agent --dir FOLDER"`,
  )
}

/** Starts the agent of a simulated host as a process that outlives this one. Rejects when it does not answer. */
async function startAgent(cluster: Cluster, host: HostEntry): Promise<AgentStatus> {
  if (!existsSync(configFile(host.dir))) {
    // A host that was lost with its disk: its instances come back by "recover".
    cluster.reporter.say(`The folder of ${host.name} is gone: making ${host.dir} anew`)
    await prepareLocalHost(cluster.folder, host)
  }
  const outFile = join(host.dir, 'agent.out')
  const out = openSync(outFile, 'a', 0o600)
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', fileURLToPath(agentScript), '--attended', '--dir', host.dir],
    { detached: true, stdio: ['ignore', out, out], cwd: host.dir },
  )
  closeSync(out)
  let ended: string | undefined
  child.once('error', (error) => {
    ended = error.message
  })
  child.once('exit', (code, signal) => {
    ended ??= `it ended with ${signal ?? `status ${code}`}`
  })
  child.unref()
  const status = await poll(cluster.clock, AGENT_START_MS, LOOK_EVERY_MS, async () => {
    if (ended !== undefined) return null
    try {
      return await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS)
    } catch {
      return undefined // not yet; the loop ends with the process or with the time
    }
  })
  if (status !== undefined && status !== null) return status
  const said = await tailOf(outFile)
  throw new CliError(
    `it could not be started: ${ended ?? `no answer within ${AGENT_START_MS / 1000} s`}${said === '' ? '' : `\n${said}`}`,
  )
}

/** The last lines of a log, to say why something ended. */
export async function tailOf(path: string, lines = 5): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return '' // a log that is not there adds nothing to the message
  }
}

/**
 * Ends the agents of localhost, with whatever still runs below them. Those that do not answer have nothing to end. Resolves with sentences about those that did
 * not end.
 */
export async function shutdownAgents(
  cluster: Cluster,
  hosts: readonly HostEntry[],
  mode: 'smart' | 'fast' | 'immediate',
): Promise<readonly string[]> {
  const reasons = await Promise.all(hosts.map((host) => shutdownAgent(cluster, host, mode)))
  const statusOf = (host: HostEntry) =>
    askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS).then(
      () => true,
      () => false,
    )
  let up: boolean[] = []
  await poll(cluster.clock, 5_000, LOOK_EVERY_MS, async () => {
    up = await Promise.all(hosts.map(statusOf))
    return up.includes(true) ? undefined : true
  })
  return hosts.flatMap(({ name }, i) =>
    up[i] === true ? [`the agent of ${name}: ${reasons[i] ?? 'it did not end'}`] : [],
  )
}

/** The same, told as it goes: for what is taken back. */
export async function endAgents(
  cluster: Cluster,
  hosts: readonly HostEntry[],
  mode: 'fast' | 'immediate',
): Promise<void> {
  for (const failure of await shutdownAgents(cluster, hosts, mode))
    cluster.reporter.say(`Not stopped: ${failure}`)
}

/** Resolves with why it did not end by itself. */
async function shutdownAgent(
  cluster: Cluster,
  host: HostEntry,
  mode: 'smart' | 'fast' | 'immediate',
): Promise<string | undefined> {
  try {
    await askAgent(cluster, host, { type: 'agent.shutdown', mode }, 90_000)
    return undefined
  } catch (error) {
    // One that has stopped its instances and cannot write that down, as on a full disk, has no other reason to be there.
    const status = await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS).catch(() => undefined)
    if (status?.instances.every(({ pid }) => pid === null) === true) process.kill(status.pid, 'SIGTERM')
    return sentenceOf(error)
  }
}
