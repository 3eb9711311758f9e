/** What a program needs to know to start agents and to find their files, without the agent itself and the PostgreSQL that it brings: `@mirabelle/agent/facts`. */
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
export { VERSION } from './version.ts'

/** The program of an agent process: run it with `--dir FOLDER`. */
export const agentScript = new URL('./agent-main.js', import.meta.url)
