package volatiletest

var faceChecks = []check{}
