// Package failpoint names the places at which the crash tests kill a process. In a normal build it does nothing and costs nothing; with
// the build tag failpoints, a process whose environment has MDOCKET_FAILPOINT=NAME kills itself with SIGKILL when it reaches that place
// for the first time. With MDOCKET_FAILPOINT_PEER=FILE as well, it kills the process whose id is in that file instead, and goes on when
// that one is gone.
package failpoint
