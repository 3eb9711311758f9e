export { Agent, type AgentOptions } from './agent.actor.ts'
export {
  agentLogFile,
  configFile,
  instanceLogFile,
  instancesFile,
  pidFile,
  readAgentConfig,
  readAssignment,
  readJsonFile,
  readKnownInstances,
  type AgentConfig,
  type KnownInstance,
} from './agent-config.ts'
export { instanceViewMachine } from './instance-view.machine.ts'
export { realProcesses, type Processes, type ProcessExit, type WatchedProcess } from './process-port.ts'
export { VERSION } from './version.ts'

/** The program of an agent process: run it with `--dir FOLDER`. */
export const agentScript = new URL('./agent-main.js', import.meta.url)
