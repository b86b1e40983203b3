"""What the steps of a build of MRtrix3 3.0.8 cost."""

from __future__ import annotations

# Each line has a folder, then its files and the CPU seconds that each took: g++ 12.2 for x86-64-v3, the headers
# precompiled, the mean of two builds that both had other work beside them. Files that neither had come to count as the
# median of their kind.
COSTS = """
cmd 5tt2vis 4.9 5ttcheck 6.0 5ttedit 5.5 amp2response 22.7 amp2sh 39.7 connectome2tck 18.5 connectomeedit 3.7
cmd connectomestats 8.9 dirflip 5.3 dirgen 7.9 dirmerge 3.9 dirorder 15.8 dirsplit 3.3 dwi2adc 20.6 dwi2fod 40.0
cmd dwi2mask 27.6 dwi2tensor 20.0 dwidenoise 104.6 dwiextract 11.3 fixel2peaks 8.5 fixel2sh 8.5 fixel2tsf 23.3
cmd fixel2voxel 20.5 fixelcfestats 25.6 fixelconnectivity 6.5 fixelconvert 14.4 fixelcorrespondence 18.8
cmd fixelcrop 21.9 fixelfilter 14.5 fixelreorient 11.0 fod2fixel 12.7 label2colour 5.9 label2mesh 11.8 labelstats 8.5
cmd maskdump 5.8 maskfilter 12.9 mesh2voxel 4.8 meshconvert 3.3 meshfilter 2.6 mraverageheader 91.8 mrcalc 18.0
cmd mrcat 24.7 mrcheckerboardmask 4.4 mrcolour 5.4 mrconvert 46.0 mrdegibbs 10.5 mrdump 21.3 mrfilter 26.7 mrgrid 24.1
cmd mrhistmatch 10.6 mrmath 64.3 mrmetric 88.4 mrthreshold 22.6 mrtransform 383.0 peaks2amp 5.4 peaks2fixel 8.1
cmd sh2amp 16.7 sh2power 5.8 sh2response 21.7 shbasis 26.8 shconv 10.3 tck2fixel 35.5 tckconvert 33.7 tckdfc 17.7
cmd tckedit 7.5 tckgen 47.9 tckglobal 17.1 tckmap 50.1 tckresample 10.1 tcksift 27.6 tcksift2 25.2 tckstats 5.2
cmd tcktransform 11.6 transformcalc 91.0 tsfdivide 4.1 tsfinfo 6.3 tsfmult 5.1 tsfthreshold 4.0 tsfvalidate 6.0
cmd warp2metric 13.3 warpconvert 14.8 warpcorrect 7.2 warpinvert 12.5
core app 6.1 axes 1.7 datatype 1.8 exception 1.2 header 14.6 mrtrix 1.4 progressbar 1.3 signal_handler 1.8 stats 1.9
core stride 2.6 thread 1.8 version 1.3
core/adapter reslice 1.3
core/algo histogram 3.1
core/dwi gradient 13.2 shells 8.6
core/file config 1.9 json_utils 12.4 key_value 1.7 mgh 1.6 mmap 2.3 name_parser 3.6 nifti_utils 7.0 ofstream 1.7
core/file png 2.2 tiff 1.5
core/file/dicom dict 3.1 element 4.9 image 7.2 mapper 5.4 patient 1.7 quick_scan 3.1 select_cmdline 2.7 series 1.8
core/file/dicom study 2.8 tree 3.5
core/filter connected_components 6.1
core/formats dicom 3.4 list 1.0 mgh 4.9 mgz 6.1 mri 3.3 mrtrix 4.1 mrtrix_gz 3.5 mrtrix_sparse_legacy 3.8
core/formats mrtrix_utils 2.1 nifti1 1.7 nifti1_gz 1.1 nifti2 1.0 nifti2_gz 1.3 par 11.1 pipe 1.6 png 1.7 ram 1.0
core/formats tiff 1.5 xds 2.0
core/image_io base 1.6 default 1.8 fetch_store 4.8 gz 1.9 mosaic 1.5 null 1.3 pipe 1.2 png 1.8 ram 1.1 scratch 1.6
core/image_io sparse 2.1 tiff 1.2 variable_scaling 2.0
core/math SH 1.8 average_space 133.5 bessel 0.9 betainc 1.3 erfinv 1.2 zstatistic 4.3
core/math/stats fwe 1.6 glm 102.8 import 1.3 shuffle 5.3
core/metadata bids 1.7 phase_encoding 6.2 slice_encoding 3.2
core/misc bitset 1.1
src colourmap 1.5 exec_version 1.3
src/connectome connectome 6.4 enhance 1.5 lut 2.8
src/dwi fmls 30.9
src/dwi/directions file 2.8 mask 1.5 predefined 1.5 set 3.5
src/dwi/sdeconv csd 12.9 msmt_csd 13.0
src/dwi/tractography file_base 3.3 properties 4.7 rng 1.5 roi 8.0 weights 0.9
src/dwi/tractography/ACT act 3.5 gmwmi 4.7
src/dwi/tractography/GT externalenergy 28.5 gt 1.5 internalenergy 5.3 mhsampler 4.5 particle 1.9 particlegrid 6.0
src/dwi/tractography/SIFT gradient_sort 3.3 proc_mask 8.6 sift 1.5 sifter 15.2 track_contribution 1.1
src/dwi/tractography/SIFT track_index_range 1.2
src/dwi/tractography/SIFT2 coeff_optimiser 5.5 fixel_updater 4.3 line_search 7.6 reg_calculator 4.1
src/dwi/tractography/SIFT2 streamline_stats 0.8 tckfactor 18.5
src/dwi/tractography/algorithms iFOD1 4.4 iFOD2 4.0
src/dwi/tractography/connectome connectome 9.6 exemplar 1.9 extract 5.0 tck2nodes 6.6
src/dwi/tractography/editing editing 2.9 receiver 2.6 worker 5.4
src/dwi/tractography/mapping fixel_td_map 1.8 mapper 12.5 mapper_plugins 9.4 mapping 8.3 twi_stats 1.1 voxel 2.4
src/dwi/tractography/mapping writer 2.9
src/dwi/tractography/mapping/gaussian mapper 4.9
src/dwi/tractography/resampling arc 4.6 downsampler 1.5 endpoints 1.3 fixed_num_points 1.8 fixed_step_size 1.9
src/dwi/tractography/resampling resampling 2.7 upsampler 4.0
src/dwi/tractography/seeding basic 6.4 dynamic 11.2 gmwmi 5.2 list 2.1 seeding 7.2
src/dwi/tractography/tracking early_exit 3.5 method 5.3 shared 8.9 tractography 3.1 write_kernel 3.1
src/fixel index_remapper 1.2 matrix 23.8
src/fixel/filter connect 9.7 smooth 13.6
src/registration linear 84.3 multi_contrast 8.8 nonlinear 70.0
src/registration/transform affine 160.8 convergence_check 2.9 initialiser 112.5 initialiser_helpers 216.1 rigid 104.6
src/stats cfe 7.7 permtest 9.6 tfce 1.8
src/surface freesurfer 3.2 mesh 5.6 mesh_multi 3.2 polygon 1.2 scalar 2.7
src/surface/algo mesh2image 15.9
src/surface/filter base 3.6 smooth 3.0 vertex_transform 6.2
"""

# All programs take about as long to link.
LINK = 0.1
