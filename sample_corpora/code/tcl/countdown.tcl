# SPDX-License-Identifier: MIT
# Counts down and rings the bell: in a language that the recipe does not keep.

proc countdown {seconds} {
    for {set left $seconds} {$left > 0} {incr left -1} {
        puts "$left seconds to go"
        after 1000
    }
    puts "\a"
}

countdown [expr {[llength $argv] ? [lindex $argv 0] : 10}]
