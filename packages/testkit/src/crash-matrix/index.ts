export { runMatrix, type CommandResult, type MatrixOptions } from './run-matrix.ts'
export { matrixCommandNames, type MatrixCommandName } from './commands.ts'
export { drawKills, describeKill } from './draw.ts'
