# The catalogue wants the licence beside the root CMakeLists.txt.
if(NOT EXISTS "${CMAKE_SOURCE_DIR}/LICENSE")
  message(SEND_ERROR "there is no LICENSE beside the root CMakeLists.txt")
endif()
